"""The stem: the paper's four layers, put in front of a frozen classifier to make frames smaller.

Conv2D(3, (7, 7)), ReLU, Conv2D(3, (3, 3), strides=(2, 2)), ReLU; 444 + 84 = 528 parameters.
With strides of 3 or 4 it takes the frames of a sharper camera; the parameters stay 528.
The convolutions do not pad: they lose a border, and 224 px become 108.
"""

import keras

from stemtune.networks import seeds

CHANNELS = 3
PARAMETERS = 528


def build(stride: int, seed: int) -> keras.Model:
    """Builds the stem, with random weights.

    Args:
        stride: Of the second convolution: 2 as in the paper, 3 or 4.
        seed: Of the weights.

    Returns:
        A model from frames (n, h, w, 3), float32 in [0, 1], to frames of `geometry.behind_stem`.
    """
    stem = keras.Sequential(
        [
            # Or Keras would number it, and a model's bytes tell what else was built before.
            keras.Input((None, None, CHANNELS), name="frames"),
            _convolution("convolution_1", 7, 1, seed),
            keras.layers.ReLU(name="relu_1"),
            _convolution("convolution_2", 3, stride, seed),
            keras.layers.ReLU(name="relu_2"),
        ],
        name="stem",
    )
    if stem.count_params() != PARAMETERS:
        raise AssertionError(f"the stem has {stem.count_params()} parameters, not {PARAMETERS}")
    return stem


def _convolution(name: str, side: int, stride: int, seed: int) -> keras.layers.Layer:
    start = seeds.glorot(seed, name)
    return keras.layers.Conv2D(CHANNELS, side, stride, kernel_initializer=start, name=name)
