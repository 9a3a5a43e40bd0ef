"""The stem: the paper's four layers, put in front of a frozen classifier to halve the image side.

Conv2D(3, (7, 7)), ReLU, Conv2D(3, (3, 3), strides=(2, 2)), ReLU; 444 + 84 = 528 parameters.
"""

import keras
import numpy as np

CHANNELS = 3
FIRST_KERNEL, SECOND_KERNEL, STRIDE = 7, 3, 2
PARAMETERS = 528


def output_side(side: int) -> int:
    """Returns the side of the frames that the stem hands on: 224 px → 218 → 108 px."""
    return (side - FIRST_KERNEL + 1 - SECOND_KERNEL) // STRIDE + 1


def build(start: str) -> keras.Model:
    """Builds the stem.

    Args:
        start: "random": Keras' usual start, as in the paper. "filter": the first convolution
            passes frames through and the second is a binomial blur that keeps every other pixel,
            so that what leaves the stem is already a small picture.

    Returns:
        A model from frames (n, h, w, 3), float32 in [0, 1], to frames of `output_side`.
        As frames are never negative, ReLU cuts nothing off at the "filter" start.

    Raises:
        ValueError: The start is unknown.
    """
    stem = keras.Sequential(
        [
            keras.Input((None, None, CHANNELS)),
            keras.layers.Conv2D(CHANNELS, FIRST_KERNEL, name="convolution_1"),
            keras.layers.ReLU(name="relu_1"),
            keras.layers.Conv2D(CHANNELS, SECOND_KERNEL, STRIDE, name="convolution_2"),
            keras.layers.ReLU(name="relu_2"),
        ],
        name="stem",
    )
    if stem.count_params() != PARAMETERS:
        raise AssertionError(f"the stem has {stem.count_params()} parameters, not {PARAMETERS}")
    if start == "filter":
        stem.set_weights(_filter_weights())
    elif start != "random":
        raise ValueError(f"unknown start {start!r} of a stem; known are random and filter")
    return stem


def _filter_weights() -> list[np.ndarray]:
    identity = np.zeros((FIRST_KERNEL, FIRST_KERNEL))
    identity[FIRST_KERNEL // 2, FIRST_KERNEL // 2] = 1
    binomial = np.outer([1, 2, 1], [1, 2, 1]) / 16
    no_bias = np.zeros(CHANNELS)
    return [_each_channel(identity), no_bias, _each_channel(binomial), no_bias]


def _each_channel(kernel: np.ndarray) -> np.ndarray:
    """Returns a kernel (h, w) as (h, w, 3, 3) that treats the channels alike and apart."""
    return kernel[:, :, None, None] * np.eye(CHANNELS)
