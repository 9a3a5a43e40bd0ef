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
import tensorflow as tf

from stemtune.core import geometry

CHANNELS = 3
PARAMETERS = 528
# Sides of the first kernel and of the second, px.
Kernels = tuple[int, int]
PAPER: Kernels = (7, 3)
PADDING = "padding"
# Side of the blocks in which `convolve` gathers pixels, by stride: the fastest of those tried.
BLOCKS = {2: 4, 3: 3, 4: 4}
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
    keras.utils.set_random_seed(seed)
    margins = geometry.margins(stride)
    padding = [keras.layers.ZeroPadding2D((margins, margins), name=PADDING)] if pads else []
    stem = keras.Sequential(
        [
            keras.Input((None, None, CHANNELS)),
            *padding,
            keras.layers.Conv2D(CHANNELS, kernels[0], name="convolution_1"),
            keras.layers.ReLU(name="relu_1"),
            keras.layers.Conv2D(CHANNELS, kernels[1], stride, name="convolution_2"),
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


def convolve(stem: keras.Model, frames: tf.Tensor) -> tf.Tensor:
    """Returns what a stem makes of frames, as its layers do, in a fraction of their time.

    Convolutions of three channels leave most of a processor idle. Here the pixels of a block
    become channels first, and the kernels are laid out to match: fewer, wider sums. The results
    differ from the layers' in their last bits.

    Args:
        stem: From `build`, trained or not; gradients reach its variables.
        frames: (n, side, side, 3), float32 in [0, 1].
    """
    first, second = stem.get_layer("convolution_1"), stem.get_layer("convolution_2")
    stride = second.strides[0]
    block = BLOCKS[stride]
    per_block = block // stride
    before, after = geometry.margins(stride) if pads(stem) else (0, 0)
    given = before + frames.shape[1] + after
    side = geometry.behind_stem(given, stride)
    kernels = (
        _block_kernel(tf.convert_to_tensor(first.kernel), block, 1),
        _block_kernel(tf.convert_to_tensor(second.kernel), block, stride),
    )
    blocks = -(-side // per_block) + sum(kernel.shape[0] - 1 for kernel in kernels)
    margins = [before, after + max(0, blocks * block - given)]
    padded = tf.pad(frames, [[0, 0], margins, margins, [0, 0]])
    x = tf.nn.space_to_depth(padded[:, : blocks * block, : blocks * block], block)
    for layer, kernel, repeats in zip((first, second), kernels, (block, per_block), strict=True):
        bias = tf.tile(tf.convert_to_tensor(layer.bias), [repeats**2])
        x = tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "VALID") + bias)
    if per_block > 1:
        x = tf.nn.depth_to_space(x, per_block)
    return x[:, :side, :side]


def pads(stem: keras.Model) -> bool:
    """Returns whether a stem from `build` pads frames."""
    return any(layer.name == PADDING for layer in stem.layers)


def _block_kernel(kernel: tf.Tensor, block: int, stride: int) -> tf.Tensor:
    """Lays a kernel (k, k, c, d) out for blocks of pixels.

    Returns:
        Kernel (m, m, block² c, (block / stride)² d), to be applied at stride 1 to what
        `space_to_depth` makes; its outputs are blocks of block / stride pixels.
    """
    size, _, channels, outputs = kernel.shape
    width = -(-(size + block - stride) // block)
    parts = []
    for row in range(0, block, stride):
        for column in range(0, block, stride):
            margins = [(at, width * block - size - at) for at in (row, column)]
            placed = tf.pad(kernel, [*margins, (0, 0), (0, 0)])
            split = tf.reshape(placed, (width, block, width, block, channels, outputs))
            apart = tf.transpose(split, (0, 2, 1, 3, 4, 5))
            parts.append(tf.reshape(apart, (width, width, block**2 * channels, outputs)))
    return tf.concat(parts, axis=-1)


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
