"""The sides of square frames: what a stem takes and what it hands on.

TensorFlow is not imported here: settings are checked by these sums before any work is done.
"""

FIRST_KERNEL, SECOND_KERNEL = 7, 3


def behind_stem(side: int, stride: int) -> int:
    """Returns the side of the frames that a stem hands on: at stride 2 224 px → 218 → 108 px."""
    return (side - FIRST_KERNEL + 1 - SECOND_KERNEL) // stride + 1


def before_stem(side: int, stride: int) -> int:
    """Returns the least side of the frames from which a stem hands on frames of `side`."""
    return (side - 1) * stride + SECOND_KERNEL + FIRST_KERNEL - 1
