"""Which frames a classifier takes: stored beside its weights and in its exports."""

from dataclasses import dataclass

# Names of the files that hold them, in the folder of a stored classifier and inside an export.
CLASSES_FILE = "classes.json"
SPECIFICATION_FILE = "input_specification.json"


@dataclass(frozen=True)
class InputSpecification:
    """Which frames a classifier was trained on, and takes.

    Attributes:
        frames_per_clip: Taken from each clip.
        size: Side of the squares that frames are scaled to, px.
        side: Side to which those are resized by area before the classifier sees them, px; of one
            with a stem the same as `size`.
    """

    frames_per_clip: int
    size: int
    side: int
