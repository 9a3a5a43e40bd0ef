"""The stem: the paper's four layers, put in front of a frozen classifier to make frames smaller.

Conv2D(3, (7, 7)), ReLU, Conv2D(3, (3, 3), strides=(2, 2)), ReLU; 444 + 84 = 528 parameters.
With strides of 3 or 4 it takes the frames of a sharper camera; the parameters stay 528.

The paper's convolutions do not pad: they lose a border, and 224 px become 108. A stem that pads
shows the network the whole frame, at 112 px, which halve evenly down to 7 px as 224 px do.

The first convolution sees the frame at its full side, where a kernel of 7 px is dear. With kernels
of 3 and then 7 px the stem takes two fifths of the operations; the parameters stay 528.
"""

import keras
import numpy as np

from stemtune.core import geometry
from stemtune.networks import seeds

CHANNELS = 3
PARAMETERS = 528
# Sides of the first kernel and of the second, px.
Kernels = tuple[int, int]
PAPER: Kernels = (7, 3)
# The two kernels that together average squares of `stride` pixels, along one axis, by the kernels'
# sides.
AVERAGES = {
    (7, 3): {2: ([1], [1, 1, 0]), 3: ([1], [1, 1, 1]), 4: ([1, 1, 0], [1, 0, 1])},
    (3, 7): {2: ([1], [1, 1, 0]), 3: ([1], [1, 1, 1]), 4: ([1], [1, 1, 1, 1, 0])},
}


def build(
    start: str, stride: int, seed: int, kernels: Kernels = PAPER, pads: bool = False
) -> keras.Model:
    """Builds the stem.

    Args:
        start: "random": Keras' usual start, as in the paper. "average": kernels that together
            average squares of `stride` pixels, so that what leaves the stem is already a small
            picture, equal to a resize.
        stride: Of the second convolution: 2 as in the paper, 3 or 4.
        seed: Of the "random" start.
        kernels: Sides of the first kernel and of the second, px: (7, 3) as in the paper, or (3, 7).
        pads: Whether zeros are put around a frame first, so that no border is lost.

    Returns:
        A model from frames (n, h, w, 3), float32 in [0, 1], to frames of `geometry.behind_stem`, or
        of `geometry.small_side` if it pads.
        As frames are never negative, ReLU cuts nothing off at the "average" start.

    Raises:
        ValueError: The start is unknown.
    """
    margins = geometry.margins(stride)
    padding = [keras.layers.ZeroPadding2D((margins, margins), name="padding")] if pads else []
    stem = keras.Sequential(
        [
            keras.Input((None, None, CHANNELS)),
            *padding,
            _convolution("convolution_1", kernels[0], 1, seed),
            keras.layers.ReLU(name="relu_1"),
            _convolution("convolution_2", kernels[1], stride, seed),
            keras.layers.ReLU(name="relu_2"),
        ],
        name="stem",
    )
    if stem.count_params() != PARAMETERS:
        raise AssertionError(f"the stem has {stem.count_params()} parameters, not {PARAMETERS}")
    if start == "average":
        stem.set_weights(_average_weights(stride, kernels))
    elif start != "random":
        raise ValueError(f"unknown start {start!r} of a stem; known are random and average")
    return stem


def _convolution(name: str, side: int, stride: int, seed: int) -> keras.layers.Layer:
    start = seeds.glorot(seed, name)
    return keras.layers.Conv2D(CHANNELS, side, stride, kernel_initializer=start, name=name)


def _average_weights(stride: int, kernels: Kernels) -> list[np.ndarray]:
    no_bias = np.zeros(CHANNELS)
    first, second = (
        _average(taps, size) for taps, size in zip(AVERAGES[kernels][stride], kernels, strict=True)
    )
    return [first, no_bias, second, no_bias]


def _average(taps: list[int], size: int) -> np.ndarray:
    """Returns a kernel (size, size, 3, 3) that treats channels alike and apart.

    `taps` of odd number, in its middle, are its weights along either axis, made to sum to 1.
    """
    margin = (size - len(taps)) // 2
    line = np.pad(np.array(taps, float) / sum(taps), margin)
    return np.outer(line, line)[:, :, None, None] * np.eye(CHANNELS)
