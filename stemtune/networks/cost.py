"""What networks cost: parameters, operations, measured time, and frames that cost the same."""

import bisect
import time
from collections.abc import Callable
from functools import cache, partial

import keras
import numpy as np
import tensorflow as tf

from stemtune.core import geometry
from stemtune.networks import images, stem

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


def equal_cost_sides(backbone: keras.Model, stride: int, size: int) -> dict[stem.Kernels, int]:
    """Returns the sides of frames, px, that cost a backbone as much as `size` does behind a stem.

    Args:
        backbone: From `backbones.concatenate`.
        stride: Of the stem.
        size: Side of the frames that the stem takes, px.

    Returns:
        By the kernels of a stem that pads, the largest side at which the backbone takes no more
        operations than stem and backbone do together. Operations rise in steps, as networks halve
        sides and round them up; a stem that costs less than the next step has its own small side.
    """
    plain, small = _to_features(backbone), geometry.small_side(size, stride)
    counted = cache(partial(flops, plain))
    larger, found = range(small + 1, size + 1), {}
    for kernels in stem.AVERAGES:
        built = stem.build("average", stride, 0, kernels, pads=True)
        allowed = flops(_to_features(backbone, built), size)
        step = bisect.bisect_right(larger, allowed, key=counted)
        found[kernels] = small + step
    return found


def _to_features(backbone: keras.Model, before: keras.Model | None = None) -> keras.Model:
    frames = keras.Input((None, None, 3), dtype="uint8")
    x = images.unit_range(frames)
    return keras.Model(frames, backbone(before(x) if before else x, training=False))
