"""Finds the clips of a data folder: what they show (class) and where they come from (group)."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stemtune.files import sha256

GROUPS_FILE = "groups.csv"
# UCF101 (Soomro, Zamir and Shah, 2012): clips of one group share their footage.
UCF101_NAME = re.compile(r"(v_.+_g\d+)_c\d+")


class ClipsError(ValueError):
    """The data folder is not `<class>/<clip>`, or its groups.csv does not fit it."""


@dataclass(frozen=True)
class Clip:
    """A video, or a still image, which is a clip of one frame.

    Attributes:
        name: Path below the data folder with forward slashes, `<class>/…`.
        path: Where the file lies.
        label: The class: the first folder of the name.
        group: What shares footage with it; clips of one group stay in one split.
        sha256: Checksum of the content.
    """

    name: str
    path: Path
    label: str
    group: str
    sha256: str


def find_clips(data: Path) -> list[Clip]:
    """Returns the clips below a data folder, sorted by name.

    The group of a clip is its row in groups.csv; else the `v_Class_gNN` of a UCF101 name; else
    the clip alone, by content, so that a second copy stays beside the first. Hidden files and
    folders are left out.

    Raises:
        ClipsError: There is no folder, no class or a single one, a file outside a class folder,
            or a groups.csv that is malformed or names a missing clip.
    """
    if not data.is_dir():
        raise ClipsError(
            f"{data}/ is missing; put clips into {data}/<class>/, or run `dvc pull data.dvc` "
            "for the sample clips"
        )
    files = {path.relative_to(data).as_posix(): path for path in _visible_files(data)}
    groups = _read_groups(data / GROUPS_FILE) if files.pop(GROUPS_FILE, None) else {}
    if strays := [name for name in files if "/" not in name]:
        raise ClipsError(
            f"{data}/ holds files outside a class folder: {strays}; move them into "
            f"{data}/<class>/ or out of {data}/"
        )
    if unknown := sorted(set(groups) - set(files)):
        raise ClipsError(
            f"{data / GROUPS_FILE} names clips that do not exist: {unknown[:5]} "
            f"({len(unknown)} in all); remove these rows or add the clips"
        )
    clips = [_clip(name, files[name], groups.get(name)) for name in sorted(files)]
    if len(labels := {clip.label for clip in clips}) < 2:
        raise ClipsError(
            f"{data}/ holds {len(labels)} class(es) {sorted(labels)}; telling classes apart "
            f"takes at least two folders {data}/<class>/ with clips"
        )
    return clips


def _visible_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _visible_files(path)
        else:
            yield path


def _clip(name: str, path: Path, group: str | None) -> Clip:
    checksum = sha256(path)
    if group is None:
        ucf101 = UCF101_NAME.fullmatch(path.stem)
        group = ucf101[1] if ucf101 else f"clip {checksum[:16]}"
    return Clip(name, path, name.split("/")[0], group, checksum)


def _read_groups(path: Path) -> dict[str, str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        if rows.fieldnames != ["clip", "group"]:
            raise ClipsError(
                f"{path}: the header is {rows.fieldnames}; it has to be clip,group with one row "
                "per clip, such as knit/a.mp4,scene 7"
            )
        groups: dict[str, str] = {}
        for row in rows:
            clip, group = row["clip"], row["group"]
            if not clip or not group or None in row:
                raise ClipsError(f"{path}, line {rows.line_num}: expected clip,group; got {row}")
            if groups.setdefault(clip, group) != group:
                raise ClipsError(
                    f"{path}, line {rows.line_num}: {clip} is in group {groups[clip]} and in "
                    f"{group}; a clip has one group"
                )
    return groups
