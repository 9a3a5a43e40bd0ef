"""Splits frames into train, validation and test; clips that are added move no others."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from stemtune.core import printable, text
from stemtune.core.settings.frames import Split, SplitLists
from stemtune.ingest import words
from stemtune.ingest.clips import Clip, ClipsError, Names
from stemtune.store.manifest import TEST, TRAIN, VALIDATION

# UCF101 puts the number of the class behind a train clip.
CLASS_NUMBER = re.compile(r"\s+\d+$")
# The split of each clip that official lists name, or of each where folders are splits.
Given = dict[str, str]


def given(clips: Sequence[Clip], data: Path, split: Split) -> Given | None:
    """Returns the split that comes with the clips; None if it is drawn.

    Args:
        clips: All clips.
        data: The folder of the lists.
        split: Settings.

    Raises:
        ClipsError: Lists are missing or empty, or do not fit the clips or one another.
        TextError: A list is no text, or in an encoding that cannot be told.
    """
    if split.folders:
        return {clip.name: clip.split for clip in clips}
    return _read_lists(clips, data, split.lists) if split.lists else None


def _read_lists(clips: Sequence[Clip], data: Path, files: SplitLists) -> Given:
    """Reads lists as UCF101 has them: a clip's name below the data folder per line.

    Clips that are listed and not there are no mistake: one may use a few classes of many.
    """
    names = Names(clip.name for clip in clips)
    lists: Given = {}
    listed: list[str] = []
    for split, name in ((TRAIN, files.train), (TEST, files.test)):
        path = data / name
        if not path.is_file():
            raise ClipsError(
                f"{path} is missing; extract_frames.split.lists names it. Put it there, or set "
                "lists to null"
            )
        lines = [line for line in text.lines(text.read(path)) if line.strip()]
        if not lines:
            raise ClipsError(
                f"{path} names no clip; expected lines such as Dive/v_Dive_g01_c01.avi"
            )
        listed.append(lines[0].strip())
        for line in lines:
            # A clip's own name may end like the number of a class.
            for clip in names.meant(line) or names.meant(CLASS_NUMBER.sub("", line.rstrip())):
                if lists.setdefault(clip, split) != split:
                    raise ClipsError(
                        f"{printable.name(clip)} is in {files.train} and in {files.test}; a clip "
                        "has one split"
                    )
    if not lists:
        raise ClipsError(
            f"{files.train} and {files.test} name none of the {len(clips)} clips in {data}/, which "
            f"are called like {printable.name(clips[0].name)}; they name such as "
            f"{words.some(listed)}. Make the names agree, suffixes too, or set "
            "extract_frames.split.lists to null"
        )
    return lists


def split_of(unit: str, split: Split) -> str:
    """Returns the split of a unit (group, clip or frame) by its own name and the seed alone.

    A split that never changes because another clip arrived can depend on nothing but the unit
    itself, so the shares hold in each class by expectation, not by quota; that every class has
    clips in every split is checked by `expectations`. A group may stand in several classes (cuts
    of one video, say), hence the class is not part of the draw.
    """
    digest = hashlib.sha256(f"{split.seed}/{unit}".encode()).digest()
    draw = int.from_bytes(digest[:8]) / 2**64
    if draw < split.test:
        return TEST
    if draw < split.test + split.validation:
        return VALIDATION
    return TRAIN


def deal(unit: str, split: Split, at: str) -> str:
    """Returns the split of a unit that may come with one.

    Args:
        unit: Name of a group, or a clip's checksum.
        split: Settings.
        at: The split that is given; empty: none is. Validation is split off train if no
            folder has it.
    """
    drawn = split_of(unit, split)
    dealt = split.folders is None or split.folders.validation is None
    if at and not (at == TRAIN and dealt and drawn == VALIDATION):
        return at
    return VALIDATION if at else drawn


def frame_splits(
    clip: Clip, group: str, frames: int, split: Split, given: Given | None
) -> list[str]:
    """Returns the split of each of a clip's frames.

    By group and by clip they are all the same. By frame, neighbouring frames of one clip land on
    both sides: the leak that flatters many published figures, here to be measured. A given split
    says what is test. It says what is validation too, or that is split off train clips.
    """
    if split.by == "frame":
        return [split_of(f"{clip.sha256}/{index}", split) for index in range(frames)]
    unit = group if split.by == "group" else clip.sha256
    return [deal(unit, split, given.get(clip.name, TRAIN) if given else "")] * frames
