"""Makes TensorFlow repeatable: same machine, same params.yaml, same bits."""

import os

from stemtune.params import Runtime

# TensorFlow logs internals as errors, unknown attributes of its own graphs among them; what goes
# wrong still arrives as an exception.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def configure(runtime: Runtime) -> None:
    """Sets threads, seeds and deterministic kernels; has to come before any other TensorFlow use.

    Sums are split by the number of threads, so that one thread trains other last bits than two.
    """
    import keras
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    tf.config.threading.set_intra_op_parallelism_threads(runtime.threads)
    tf.config.threading.set_inter_op_parallelism_threads(runtime.threads)
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(runtime.seed)
