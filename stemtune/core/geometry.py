"""The sides of square frames: what a stem takes and what it hands on.

TensorFlow is not imported here: settings are checked by these sums before any work is done.
"""

# Side of the square of pixels that one pixel behind the stem is made of: its kernels of 7 and 3 px
# see so far in either order.
SEEN = 7 + 3 - 1
# Pixels that a stem of each stride adds before a frame if it pads, so that its first average is of
# the frame's first pixels.
MARGINS = {2: 3, 3: 3, 4: 2}


def small_side(side: int, stride: int) -> int:
    """Returns the side of small frames, which a stem that pads hands on: at stride 2 224 → 112."""
    return side // stride


def behind_stem(side: int, stride: int) -> int:
    """Returns the side that a stem without padding hands on: at stride 2 224 px → 108 px."""
    return (side - SEEN) // stride + 1


def before_stem(side: int, stride: int) -> int:
    """Returns the least side of the frames from which `behind_stem` is `side`."""
    return (side - 1) * stride + SEEN


def margins(stride: int) -> tuple[int, int]:
    """Returns how many pixels a stem that pads adds before and after a frame, along each axis."""
    return MARGINS[stride], SEEN - stride - MARGINS[stride]
