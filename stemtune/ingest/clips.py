"""Finds the clips of a data folder by their names, and tells what cannot be one."""

import codecs
import os
import re
import shlex
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from stemtune.core import dvc, litter, printable
from stemtune.core.errors import InputError
from stemtune.core.settings.frames import ExtractFrames, SplitFolders
from stemtune.core.text import composed
from stemtune.ingest import layout, retries, words

GROUPS_FILE = "groups.csv"
# Lists of the official splits of UCF101 (Soomro, Zamir and Shah, 2012).
LIST_FILE = re.compile(r"(train|test)list\d\d\.txt|classInd\.txt")
# DVC may lay data out as links into its cache, where content is named by its hash.
CACHED = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}")
LEADS_OUT = "is a link that leads out of the data folder"
LEADS_NOWHERE = "is a link to nothing"
NOT_UTF8 = "has a name that is not UTF-8"


class ClipsError(InputError):
    """The data folder is not `<class>/<clip>`, or a table in it does not fit it."""


@dataclass(frozen=True)
class Clip:
    """A video, or a still image, which is a clip of one frame.

    Attributes:
        name: Path below the data folder with forward slashes; bytes that are not UTF-8 are
            written as `\\xff`.
        path: Of the file.
        label: The class, by its folders.
        sha256: Checksum of the content; empty before `checksums.add`, or with a problem.
        problem: Why it cannot be read; empty for the others.
        split: Its split, where `extract_frames.split.folders` gives it; else empty.
        state: Of the file when its checksum was computed; see `checksums.state`.
        remote: What DVC knows its content by if it is in a remote; see `remote.contents`.
    """

    name: str
    path: Path
    label: str
    sha256: str
    problem: str
    split: str = ""
    state: tuple[int, ...] = ()
    remote: str = ""

    def __str__(self) -> str:
        return f"the clip {self.path}"


class Entry(NamedTuple):
    """A path in the data folder that is no folder, or one that is not followed.

    Attributes:
        name, path, problem, remote: As of a `Clip`.
    """

    name: str
    path: Path
    problem: str
    remote: str = ""


def find(data: Path, params: ExtractFrames, listed: Mapping[str, str] | None = None) -> list[Clip]:
    """Returns the clips of a data folder that is laid out as the settings say.

    Args:
        data: As of `find_clips`, which says what is raised.
        params: The settings.
        listed: As of `find_clips`.

    Raises:
        LayoutError: Also if classes are missing, or others than those of the settings.
        ClipsError: Also if the DVC that runs this stage takes names of clips for others.
    """
    found = find_clips(data, list_names(params), params.split.folders, params.classes or (), listed)
    if params.classes is not None:
        layout.require_classes({clip.label for clip in found}, params.classes)
    _refuse_other_names(data, found)
    return found


def list_names(params: ExtractFrames) -> tuple[str, ...]:
    """Returns the names of the files in a data folder that list its splits, if there are such."""
    lists = params.split.lists
    return (lists.train, lists.test) if lists else ()


def find_clips(
    data: Path,
    lists: Collection[str] = (),
    folders: SplitFolders | None = None,
    classes: Collection[str] = (),
    listed: Mapping[str, str] | None = None,
) -> list[Clip]:
    """Returns the clips below a data folder, sorted by name; no clip is read.

    Hidden files and folders are left out, and what systems leave in folders of others. Links are
    followed inside the data folder and into DVC's cache; what is behind others, and what is no
    file, is listed with the problem.

    Args:
        data: The folder.
        lists: Names of further files right below it that are no clips.
        folders: The folders that are splits, if there are such.
        classes: Names of folders that are classes for sure.
        listed: From `remote.contents` if the clips are in a remote; None: they are in the folder.

    Raises:
        ClipsError: There is no folder or no clip, or something is outside a class folder.
        LayoutError: The folders are not those of two classes or more.
        UnreadError: The system fails to list a folder.
    """
    if listed is None and not data.is_dir():
        raise ClipsError(
            f"{data}/ is missing; put clips into {data}/<class>/, or run `dvc pull data.dvc` "
            "for the sample clips"
        )
    found = entries(data, lists) if listed is None else _listed(data, listed, lists)
    _refuse_links(data, found, depth=1 if folders is None else 2)
    _refuse_parts_of_dvc(data, found)
    _refuse_strays(data, found)
    if not found:
        raise ClipsError(
            f"{data}/ holds no clips; put clips of at least two classes into {data}/<class>/"
        )
    places = layout.places([entry.name for entry in found], folders, classes)
    made = [
        Clip(
            entry.name, entry.path, place.label, "", entry.problem, place.split, remote=entry.remote
        )
        for entry, place in zip(found, places, strict=True)
    ]
    return sorted(made, key=lambda clip: clip.name)


def entries(data: Path, lists: Collection[str] = ()) -> list[Entry]:
    """Returns the visible files below a folder that may be clips, wherever in it they lie.

    Args:
        data: The folder.
        lists: Names of further files right below it that are no clips.
    """
    above = (data.resolve(),)
    return [
        entry
        for entry in _walk(data, data, above)
        # A table that is a link to nothing would be left out in silence.
        if entry.problem == LEADS_NOWHERE or not _is_table(entry.name, lists)
    ]


def _listed(data: Path, listed: Mapping[str, str], lists: Collection[str]) -> list[Entry]:
    return [
        Entry(name, data / name, "", content)
        for name, content in listed.items()
        if not any(map(_is_hidden, name.split("/"))) and not _is_table(name, lists)
    ]


class Names:
    """Finds the clips that a name in a table means."""

    def __init__(self, names: Iterable[str]) -> None:
        self._by_name: dict[str, list[str]] = {name: [name] for name in names}
        self._by_composed: dict[str, list[str]] = defaultdict(list)
        for name in self._by_name:
            self._by_composed[composed(name)].append(name)

    def meant(self, written: str) -> list[str]:
        """Returns the clip of exactly that name, else those that differ by habits of systems.

        Blanks around it, backslashes, a leading `./`, and the two ways to write an accent.
        """
        plain = written.strip().replace("\\", "/").removeprefix("./")
        return (
            self._by_name.get(written)
            or self._by_name.get(plain)
            or self._by_composed.get(composed(plain), [])
        )


def _is_table(name: str, lists: Collection[str]) -> bool:
    return name == GROUPS_FILE or name in lists or LIST_FILE.fullmatch(name) is not None


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or litter.is_litter(name)


def _walk(folder: Path, data: Path, above: tuple[Path, ...]) -> Iterator[Entry]:
    """Yields every visible path that is no folder, with the problem that it has, if any.

    Args:
        folder: To look into.
        data: The data folder.
        above: Where this folder and those on the way to it really are.
    """
    try:
        paths = retries.reading(lambda: sorted(folder.iterdir()))
    except OSError as error:
        raise retries.unread(f"the folder {folder}", error.strerror) from error
    for path in paths:
        if _is_hidden(path.name):
            continue
        if problem := _problem(path, data, above):
            yield _entry(path, data, problem)
        elif path.is_dir():
            yield from _walk(path, data, (*above, path.resolve()))
        else:
            yield _entry(path, data, "")


def _entry(path: Path, data: Path, problem: str) -> Entry:
    name = _name(path, data)
    if name.encode() != os.fsencode(path.relative_to(data).as_posix()):
        problem = problem or NOT_UTF8
    return Entry(name, path, problem)


def _name(path: Path, data: Path) -> str:
    """Returns a name as UTF-8 has it, whatever encoding this process reads names in."""
    return os.fsencode(path.relative_to(data).as_posix()).decode("utf-8", "backslashreplace")


def _problem(path: Path, data: Path, above: Sequence[Path]) -> str:
    if path.is_symlink():
        if not path.exists():
            return LEADS_NOWHERE
        target = path.resolve()
        if not target.is_relative_to(data.resolve()) and not CACHED.search(str(target)):
            return LEADS_OUT
        # Through one link after the other, too.
        if any(each.is_relative_to(target) for each in above):
            return "is a link to a folder that it lies in"
    if not path.is_file() and not path.is_dir():
        return "is no file but a device, socket or pipe"
    return ""


def _refuse_links(data: Path, entries: Sequence[Entry], depth: int) -> None:
    """Raises ClipsError if a folder that a class would be in is a link to elsewhere."""
    above = [entry for entry in entries if entry.name.count("/") < depth]
    if links := [each for each in above if each.problem == LEADS_OUT and each.path.is_dir()]:
        link, target = (shlex.quote(str(path)) for path in (links[0].path, links[0].path.resolve()))
        raise ClipsError(
            f"{data}/ holds folders that are links to elsewhere: {_targets(links)}. They are not "
            "followed: DVC leaves out what is behind such a link, and no one else would have "
            f"these clips. Put the clips themselves there: `rm {link} && cp -r {target} {link}`, "
            f"or move them; then `dvc add {data}`"
        )
    if links := [each for each in above if each.problem == LEADS_NOWHERE and "/" not in each.name]:
        raise ClipsError(
            f"{data}/ holds links to nothing: {_targets(links)}; remove them, or put the files "
            "themselves there"
        )


def _targets(links: Sequence[Entry]) -> str:
    return words.some([f"{each.name} → {each.path.readlink()}" for each in links])


def _refuse_parts_of_dvc(data: Path, entries: Sequence[Entry]) -> None:
    """Raises ClipsError if DVC tracks parts of the folder, as `dvc add data/*` has it do."""
    noted = [each for each in entries if each.name.endswith(".dvc") and _is_of_dvc(each)]
    if noted:
        raise ClipsError(
            f"{data}/ holds files by which DVC tracks a part of it each: "
            f"{words.some([each.name for each in noted])}. The pipeline needs {data}/ tracked as a "
            "whole, in data.dvc. To change that, keeping the clips, run\n\n"
            f"find {data} -name '*.dvc' -exec .venv/bin/dvc remove {{}} +\n"
            f"git rm -r --cached --quiet --ignore-unmatch {data}\n"
            f".venv/bin/dvc add {data}"
        )


def _is_of_dvc(entry: Entry) -> bool:
    """Returns whether a file is DVC's by its content; a clip may be called anything."""
    if entry.problem:
        return False
    try:
        with entry.path.open("rb") as file:
            return re.search(rb"^outs:$", file.read(4096), flags=re.MULTILINE) is not None
    except OSError:
        # What cannot be read is told when it is to be read as what it is: a clip.
        return False


def _refuse_other_names(data: Path, clips: Sequence[Clip]) -> None:
    """Raises ClipsError if dvc.lock, and with it others, would get wrong names of clips."""
    encoding = dvc.encoding()
    odd = [clip.name for clip in clips if not clip.name.isascii()]
    if odd and codecs.lookup(encoding).name not in ("utf-8", "ascii"):
        raise ClipsError(
            f"DVC was started with names of files in {encoding}, by this shell's locale, and takes "
            f"{words.some(odd)} for other names. Run `export PYTHONUTF8=1` in this shell, then "
            f"`dvc add {data}` if the clips were added in it, then `dvc repro`; `make repro` does "
            "the first by itself"
        )


def _refuse_strays(data: Path, entries: Sequence[Entry]) -> None:
    strays = [
        printable.name(entry.name) + (f" ({entry.problem})" if entry.problem else "")
        for entry in entries
        if "/" not in entry.name
    ]
    if strays:
        raise ClipsError(
            f"{data}/ holds {len(strays)} file(s) outside a class folder: {words.some(strays)}; "
            f"move them into {data}/<class>/ or out of {data}/"
        )
