"""Makes TensorFlow repeatable: same machine, same params.yaml, same bits."""

import os

from stemtune.params import Runtime

# TensorFlow logs internals as errors, unknown attributes of its own graphs among them; what goes
# wrong still arrives as an exception.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def configure(runtime: Runtime, through_backbone: bool = False) -> None:
    """Sets threads, seeds and deterministic kernels; has to come before TensorFlow is imported.

    Sums are split by the number of threads, so that one thread trains other last bits than two.

    Args:
        runtime: Threads and seed.
        through_backbone: Whether gradients will go through a backbone. oneDNN's take a half to a
            third of the time of TensorFlow's own, which are what it uses on processors without
            AVX-512. Forward, a clip at a time, they are no faster, and other bits.
    """
    if through_backbone:
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    import keras
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    tf.config.threading.set_intra_op_parallelism_threads(runtime.threads)
    tf.config.threading.set_inter_op_parallelism_threads(runtime.threads)
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(runtime.seed)
