"""EfficientNet-Lite in Keras, with the weights of its PyTorch checkpoints.

Architecture: Tan and Le, "EfficientNet", 2019; Lite drops squeeze-and-excitation, uses ReLU6, and
keeps the first and last convolution and the repeats of the first and last stage unscaled.

The network is frozen. So each batch normalization is folded into the convolution before it, as in
Jacob et al., 2018, section 3.2, which halves what is written to memory.
"""

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np

from stemtune.networks.torch_file import read_tensors

# kernel, repeats, output channels, expansion, stride
STAGES = [
    (3, 1, 16, 1, 1),
    (3, 2, 24, 6, 2),
    (5, 2, 40, 6, 2),
    (3, 3, 80, 6, 2),
    (5, 3, 112, 6, 1),
    (5, 4, 192, 6, 2),
    (3, 1, 320, 6, 1),
]
COEFFICIENTS = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}
FEATURES = 1280
EPSILON = 1e-3
# In the checkpoints, what normalizes a convolution, by the last part of their names.
NORMALIZATIONS = {
    "conv_stem": "bn0",
    "_expand_conv": "_bn0",
    "_depthwise_conv": "_bn1",
    "_project_conv": "_bn2",
    "conv_head": "bn1",
}


def build(variant: str, weights: Path | None, include_top: bool = False) -> keras.Model:
    """Builds an EfficientNet-Lite.

    Args:
        variant: "lite0", "lite1" or "lite2".
        weights: A checkpoint that `torch_file.read_tensors` reads; None: random values.
        include_top: Whether to end with the 1000 ImageNet logits.

    Returns:
        A model from frames (n, h, w, 3), float32, scaled as (RGB - 127) / 128, of any size to
        (n, 1280) globally pooled features, or to (n, 1000) logits.

    Raises:
        ValueError: The checkpoint is not one of this variant.
    """
    width, depth = COEFFICIENTS[variant]
    frames = keras.Input((None, None, 3))
    x = _activate(_convolve(frames, 32, 3, 2, "conv_stem"))
    block, channels = 0, 32
    for kernel, repeats, outputs, expansion, stride in STAGES:
        first_or_last = outputs in (STAGES[0][2], STAGES[-1][2])
        repeats = repeats if first_or_last else math.ceil(repeats * depth)
        outputs = _round_channels(outputs * width)
        for repeat in range(repeats):
            x = _block(
                x, f"blocks.{block}", kernel, channels, outputs, expansion, 1 if repeat else stride
            )
            block, channels = block + 1, outputs
    x = _activate(_convolve(x, FEATURES, 1, 1, "conv_head"))
    x = keras.layers.GlobalAveragePooling2D()(x)
    if include_top:
        x = keras.layers.Dense(1000, name="fc")(x)
    model = keras.Model(frames, x, name=f"efficientnet_{variant}")
    if weights is not None:
        _set_weights(model, read_tensors(weights), weights)
    return model


def _block(
    x: Any, name: str, kernel: int, channels: int, outputs: int, expansion: int, stride: int
) -> Any:
    inputs = x
    if expansion != 1:
        x = _activate(_convolve(x, channels * expansion, 1, 1, f"{name}._expand_conv"))
    x = keras.layers.DepthwiseConv2D(kernel, stride, "same", name=f"{name}._depthwise_conv")(x)
    x = _convolve(_activate(x), outputs, 1, 1, f"{name}._project_conv")
    return x + inputs if stride == 1 and channels == outputs else x


def _convolve(x: Any, channels: int, kernel: int, stride: int, name: str) -> Any:
    return keras.layers.Conv2D(channels, kernel, stride, "same", name=name)(x)


def _activate(x: Any) -> Any:
    return keras.layers.ReLU(6.0)(x)


def _round_channels(channels: float) -> int:
    """Rounds to a multiple of 8, never down by more than a tenth, as the published nets do."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def _set_weights(model: keras.Model, tensors: dict[str, np.ndarray], path: Path) -> None:
    for layer in model.layers:
        if not layer.weights:
            continue
        try:
            layer.set_weights(_layer_weights(layer, tensors))
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"{path} does not fit {model.name} at {layer.name}: {error}"
            ) from error


def _layer_weights(layer: keras.Layer, tensors: dict[str, np.ndarray]) -> list[np.ndarray]:
    # Keras' exports take no layer's name that begins with an underscore, as the checkpoints' do.
    name = f"_{layer.name}"
    kernel = tensors[f"{name}.weight"]
    if isinstance(layer, keras.layers.Dense):
        return [kernel.T, tensors[f"{name}.bias"]]
    block, dot, last = layer.name.rpartition(".")
    normalization = f"_{block}{dot}{NORMALIZATIONS[last]}"
    scale, shift, mean, variance = (
        tensors[f"{normalization}.{part}"].astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    factor = scale / np.sqrt(variance + EPSILON)
    folded = kernel * factor[:, None, None, None]
    # PyTorch's kernels begin with the outputs, and depthwise ones have one input each.
    order = (2, 3, 0, 1) if isinstance(layer, keras.layers.DepthwiseConv2D) else (2, 3, 1, 0)
    return [folded.transpose(order), shift - mean * factor]
