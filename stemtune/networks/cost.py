"""What networks cost: operations and measured time."""

import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

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


def flops(model: keras.Model, side: int) -> int:
    """Returns the floating-point operations for one frame, a multiplication and an addition as two.

    Counted by TensorFlow's profiler on the graph for a frame of `side`, uint8.
    """
    function = tf.function(lambda frames: model(frames, training=False))
    graph = function.get_concrete_function(tf.TensorSpec((1, side, side, 3), tf.uint8)).graph
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output().build()
    return int(tf.compat.v1.profiler.profile(graph, options=options).total_float_ops)
