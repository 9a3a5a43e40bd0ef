"""Sizes of square frames, before a stem and behind it.

TensorFlow is not imported here, because settings are checked before any work is done.
"""

# Receptive field of one output pixel of the stem, px: its kernels have 7 and 3 px.
SEEN = 7 + 3 - 1


def small_side(side: int, stride: int) -> int:
    """Returns the size of small frames, a stem's without its border: at stride 2 224 → 112 px."""
    return side // stride


def behind_stem(side: int, stride: int) -> int:
    """Returns the size of a stem's output: at stride 2 224 → 108 px."""
    return (side - SEEN) // stride + 1


def before_stem(side: int, stride: int) -> int:
    """Returns the smallest frame size whose `behind_stem` is `side`."""
    return (side - 1) * stride + SEEN
