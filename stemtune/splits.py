"""Deals frames to train, validation and test so that nothing moves when clips are added."""

import hashlib

from stemtune.clips import Clip
from stemtune.manifest import TEST, TRAIN, VALIDATION
from stemtune.params import Split


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


def frame_splits(clip: Clip, frames: int, split: Split) -> list[str]:
    """Returns the split of each of a clip's frames.

    By group and by clip they are all the same. By frame, neighbouring frames of one clip land on
    both sides: the leak that flatters many published figures, here to be measured.
    """
    if split.by == "frame":
        return [split_of(f"{clip.sha256}/{index}", split) for index in range(frames)]
    unit = clip.group if split.by == "group" else clip.sha256
    return [split_of(unit, split)] * frames
