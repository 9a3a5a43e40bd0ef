"""Finds the clips of a data folder: what they show (class) and what is in them (checksum)."""

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from stemtune.errors import InputError
from stemtune.files import sha256

GROUPS_FILE = "groups.csv"
# Lists of the official splits of UCF101 (Soomro, Zamir and Shah, 2012).
LIST_FILE = re.compile(r"(train|test)list\d\d\.txt|classInd\.txt")
# DVC may lay data out as links into its cache, where content is named by its hash.
CACHED = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}")


class ClipsError(InputError):
    """The data folder is not `<class>/<clip>`, or a table in it does not fit it."""


@dataclass(frozen=True)
class Clip:
    """A video, or a still image, which is a clip of one frame.

    Attributes:
        name: Path below the data folder with forward slashes, `<class>/…`; bytes that are not
            UTF-8 are written as `\\xff`.
        path: Where the file lies.
        label: The class: the first folder of the name.
        sha256: Checksum of the content; empty when it cannot be read.
        problem: Why it cannot be read; empty for the others.
    """

    name: str
    path: Path
    label: str
    sha256: str
    problem: str


def find_clips(data: Path, lists: tuple[str, ...] = (), workers: int = 1) -> list[Clip]:
    """Returns the clips below a data folder, sorted by name.

    Hidden files and folders are left out. Links are followed inside the data folder and into DVC's
    cache; what is behind others, and what is no file, is listed with the problem.

    Args:
        data: The folder.
        lists: Names of further files right below it that are no clips.
        workers: Number of threads that compute checksums.

    Raises:
        ClipsError: There is no folder, no class or a single one, or a file outside a class folder.
    """
    if not data.is_dir():
        raise ClipsError(
            f"{data}/ is missing; put clips into {data}/<class>/, or run `dvc pull data.dvc` "
            "for the sample clips"
        )
    with ThreadPoolExecutor(workers) as threads:
        clips = list(threads.map(lambda entry: _clip(data, *entry), _walk(data, data)))
    clips = [clip for clip in clips if clip.label or not _is_table(clip.name, lists)]
    if strays := [clip.name for clip in clips if not clip.label]:
        raise ClipsError(
            f"{data}/ holds files outside a class folder: {strays}; move them into "
            f"{data}/<class>/ or out of {data}/"
        )
    if len(labels := {clip.label for clip in clips}) < 2:
        raise ClipsError(
            f"{data}/ holds {len(labels)} class(es) {sorted(labels)}; telling classes apart "
            f"takes at least two folders {data}/<class>/ with clips"
        )
    return sorted(clips, key=lambda clip: clip.name)


def _is_table(name: str, lists: tuple[str, ...]) -> bool:
    return name == GROUPS_FILE or name in lists or LIST_FILE.fullmatch(name) is not None


def _walk(folder: Path, data: Path) -> Iterator[tuple[Path, str]]:
    """Yields every visible path that is no folder, with the problem that it has, if any."""
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if problem := _problem(path, data):
            yield path, problem
        elif path.is_dir():
            yield from _walk(path, data)
        else:
            yield path, ""


def _problem(path: Path, data: Path) -> str:
    if path.is_symlink():
        if not path.exists():
            return "is a link to nothing"
        target = path.resolve()
        if not target.is_relative_to(data.resolve()) and not CACHED.search(str(target)):
            return "is a link that leads out of the data folder"
        if path.parent.resolve().is_relative_to(target):
            return "is a link to a folder that it lies in"
    if not path.is_file() and not path.is_dir():
        return "is no file but a device, socket or pipe"
    return ""


def _clip(data: Path, path: Path, problem: str) -> Clip:
    below = path.relative_to(data)
    name = os.fsencode(below.as_posix()).decode("utf-8", "backslashreplace")
    if name != below.as_posix():
        problem = problem or "has a name that is not UTF-8"
    label = name.split("/")[0] if "/" in name else ""
    checksum = ""
    if not problem:
        try:
            checksum = sha256(path)
        except OSError as error:
            problem = f"cannot be read: {error.strerror}"
    return Clip(name, path, label, checksum, problem)
