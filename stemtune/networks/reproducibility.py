"""Makes TensorFlow repeatable: same machine, same params.yaml, same bits."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from stemtune.core.settings.running import Runtime

# TensorFlow logs internals as errors, unknown attributes of its own graphs among them; what goes
# wrong still arrives as an exception.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# While TensorFlow is loaded that level does not hold yet, and it remarks on oneDNN, on plugins and
# on its own logging; LiteRT and the converter to it ask for no level. A process passes on the rest,
# even what is said when loading ends this one.
FILTER = r"""
import re, sys
remark = re.compile(
    rb"WARNING: All log messages before absl|[IW]\d{4} \d\d:\d\d:"
    rb"|INFO: Created TensorFlow Lite|fully_quantize: "
)
for line in sys.stdin.buffer:
    if not remark.match(line):
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
"""


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
    # Looking for garbage among what TensorFlow's modules hold takes a quarter of a short stage.
    gc.disable()
    with without_remarks():
        import keras
        import tensorflow as tf

    gc.freeze()
    gc.enable()
    tf.get_logger().setLevel("ERROR")
    tf.config.threading.set_intra_op_parallelism_threads(runtime.threads)
    tf.config.threading.set_inter_op_parallelism_threads(runtime.threads)
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(runtime.seed)


@contextmanager
def without_remarks() -> Iterator[None]:
    """Keeps what libraries remark while they are loaded off the terminal."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-I", "-S", "-c", FILTER],
        stdin=subprocess.PIPE,
        # Ctrl-C is for this process.
        start_new_session=True,
    ) as passing:
        if passing.stdin is None:
            raise AssertionError("subprocess gave no pipe")
        os.dup2(passing.stdin.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
