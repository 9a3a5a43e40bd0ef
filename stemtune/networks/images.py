"""Frames as tensors: from bytes to [0, 1], and to another side."""

from typing import Any

import keras
import tensorflow as tf


def unit_range(frames: Any) -> Any:
    """Returns frames from 0 to 255, a tensor or a symbolic one, as float32 in [0, 1]."""
    return keras.layers.Rescaling(1 / 255, name="unit_range")(frames)


def resize(frames: tf.Tensor, side: int) -> tf.Tensor:
    """Resizes float frames (n, h, w, 3) to squares of `side` by averaging areas."""
    if frames.shape[1:3] == (side, side):
        return frames
    return tf.image.resize(frames, (side, side), tf.image.ResizeMethod.AREA)
