"""Frames as tensors: from bytes to [0, 1], and to another side."""

import tensorflow as tf


def unit_range(frames: tf.Tensor) -> tf.Tensor:
    """Returns uint8 frames as float32 in [0, 1]."""
    return tf.cast(frames, tf.float32) / 255.0


def resize(frames: tf.Tensor, side: int) -> tf.Tensor:
    """Resizes float frames (n, h, w, 3) to squares of `side` by averaging areas."""
    if frames.shape[1:3] == (side, side):
        return frames
    return tf.image.resize(frames, (side, side), tf.image.ResizeMethod.AREA)
