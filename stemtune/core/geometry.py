"""The sides of square frames, before a stem and behind it.

TensorFlow is not imported here: settings are checked by these sums before any work is done.
"""

# Side of the square of pixels that one pixel behind the stem is made of, by its kernels of 7 and
# 3 px.
SEEN = 7 + 3 - 1


def small_side(side: int, stride: int) -> int:
    """Returns the side of small frames, a stem's without its border: at stride 2 224 px → 112."""
    return side // stride


def behind_stem(side: int, stride: int) -> int:
    """Returns the side of a stem's output: at stride 2 224 px → 108 px."""
    return (side - SEEN) // stride + 1


def before_stem(side: int, stride: int) -> int:
    """Returns the least side of the frames from which `behind_stem` is `side`."""
    return (side - 1) * stride + SEEN
