"""What networks cost: their operations."""

import keras
import tensorflow as tf


def flops(model: keras.Model, side: int) -> int:
    """Returns the floating-point operations for one frame, a multiplication and an addition as two.

    Counted by TensorFlow's profiler on the graph for a frame of `side`, uint8.
    """
    function = tf.function(lambda frames: model(frames, training=False))
    graph = function.get_concrete_function(tf.TensorSpec((1, side, side, 3), tf.uint8)).graph
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output().build()
    return int(tf.compat.v1.profiler.profile(graph, options=options).total_float_ops)
