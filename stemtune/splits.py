"""Deals frames to train, validation and test so that nothing moves when clips are added."""

import hashlib
import re
from pathlib import Path

from stemtune.clips import Clip, ClipsError
from stemtune.manifest import TEST, TRAIN, VALIDATION
from stemtune.params import Split, SplitLists

# UCF101 puts the number of the class behind a train clip.
CLASS_NUMBER = re.compile(r"\s+\d+$")
# The split, train or test, of each clip that official lists name.
Lists = dict[str, str]


def read_lists(data: Path, files: SplitLists) -> Lists:
    """Reads lists as UCF101 has them: a clip's name below the data folder per line.

    Clips that are listed and not there are no mistake: one may use a few classes of many.

    Raises:
        ClipsError: A file is missing or empty, or a clip is in both.
    """
    lists: Lists = {}
    for split, name in ((TRAIN, files.train), (TEST, files.test)):
        path = data / name
        if not path.is_file():
            raise ClipsError(
                f"{path} is missing; extract_frames.split.lists names it. Put it there, or set "
                "lists to null"
            )
        lines = path.read_text(encoding="utf-8").splitlines()
        listed = [CLASS_NUMBER.sub("", line.strip()) for line in lines if line.strip()]
        if not listed:
            raise ClipsError(
                f"{path} names no clip; expected lines such as Dive/v_Dive_g01_c01.avi"
            )
        for clip in listed:
            if lists.setdefault(clip, split) != split:
                raise ClipsError(f"{clip} is in {files.train} and in {files.test}; a clip has one")
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


def frame_splits(
    clip: Clip, group: str, frames: int, split: Split, lists: Lists | None
) -> list[str]:
    """Returns the split of each of a clip's frames.

    By group and by clip they are all the same. By frame, neighbouring frames of one clip land on
    both sides: the leak that flatters many published figures, here to be measured. Where official
    lists are given they say what is test, and validation is dealt from their train clips.
    """
    if split.by == "frame":
        return [split_of(f"{clip.sha256}/{index}", split) for index in range(frames)]
    unit = group if split.by == "group" else clip.sha256
    drawn = split_of(unit, split)
    if lists is not None:
        in_test = lists.get(clip.name) == TEST
        drawn = TEST if in_test else VALIDATION if drawn == VALIDATION else TRAIN
    return [drawn] * frames
