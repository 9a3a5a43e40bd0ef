"""What networks cost: parameters, operations, measured time, and frames that cost the same."""

import bisect
import time
from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf

from stemtune.networks import images

TIMED_BATCH, TIMED_REPEATS = 32, 5


def milliseconds_per_frame(predict: Callable[[np.ndarray], np.ndarray], size: int) -> float:
    """Measures a classifier's time for a frame of a batch in memory, the median over batches."""
    frames = np.random.default_rng(0).integers(0, 256, (TIMED_BATCH, size, size, 3), np.uint8)
    predict(frames)
    seconds = []
    for _ in range(TIMED_REPEATS):
        started = time.perf_counter()
        predict(frames)
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds)) / TIMED_BATCH * 1000


def count_parameters(variables: Iterable[keras.Variable]) -> int:
    """Returns how many numbers the variables hold."""
    return sum(int(np.prod(variable.shape)) for variable in variables)


def flops(model: keras.Model, side: int) -> int:
    """Returns the floating-point operations for one frame, a multiplication and an addition as two.

    Counted by TensorFlow's profiler on the graph for a frame of `side`, uint8.
    """
    function = tf.function(lambda frames: model(frames, training=False))
    graph = function.get_concrete_function(tf.TensorSpec((1, side, side, 3), tf.uint8)).graph
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output().build()
    return int(tf.compat.v1.profiler.profile(graph, options=options).total_float_ops)


def equal_cost_side(backbone: keras.Model, stem: keras.Model, size: int, small: int) -> int:
    """Returns the side of frames, px, that cost a backbone as much as `size` does behind a stem.

    Args:
        backbone: From `backbones.concatenate`.
        stem: From `stem.build`.
        size: Side of the frames that the stem takes, px.
        small: Side of the frames that the stem hands on, px.

    Returns:
        The largest side from `small` to `size` at which the backbone takes no more operations than
        stem and backbone do together. A stem costs something, so that it is `small` or more.
    """
    plain, allowed = _to_features(backbone), flops(_to_features(backbone, stem), size)
    larger = range(small + 1, size + 1)
    return small + bisect.bisect_right(larger, allowed, key=lambda side: flops(plain, side))


def _to_features(backbone: keras.Model, stem: keras.Model | None = None) -> keras.Model:
    frames = keras.Input((None, None, 3), dtype="uint8")
    x = images.unit_range(frames)
    return keras.Model(frames, backbone(stem(x) if stem else x, training=False))
