"""Makes TensorFlow repeatable: same machine, same params.yaml, same bits."""

import atexit
import gc
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from stemtune.core import shell
from stemtune.core.errors import InputError
from stemtune.core.settings.running import Runtime

# TensorFlow logs internals as errors, unknown attributes of its own graphs among them; what goes
# wrong still arrives as an exception.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
BACKEND, ONEDNN = ("KERAS_BACKEND", "tensorflow"), ("TF_ENABLE_ONEDNN_OPTS", "1")
# What Keras imports if it is there, for wrappers and pictures that nothing here uses; it takes a
# third of the time.
UNUSED = ("sklearn", "matplotlib", "IPython", "cv2")
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


def configure(runtime: Runtime) -> None:
    """Sets threads, seeds and deterministic kernels; has to come before TensorFlow is imported.

    Sums are split by the number of threads, so one thread gives other last bits than two.

    Args:
        runtime: Threads and seed.
    """
    load()
    import keras
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    tf.config.threading.set_intra_op_parallelism_threads(runtime.threads)
    tf.config.threading.set_inter_op_parallelism_threads(runtime.threads)
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(runtime.seed)


def load() -> None:
    """Imports Keras, and TensorFlow with oneDNN's kernels, whatever is set for them elsewhere.

    What a shell or `keras.json` sets is left out, since neither DVC nor a record knows of it. This
    is for processes of this project alone: it changes their environment. On processors without
    AVX-512, TensorFlow's own kernels are the default. Through EfficientNet-Lite0 at 224 px they
    take twice oneDNN's time, and more than twice with gradients.

    Raises:
        InputError: Keras cannot read its file, or runs on another backend in this process already.
    """
    # What an earlier call, or the process that started this one, has set is no news.
    ignored = dict(shell.forget().items() - {BACKEND, ONEDNN})
    if ignored:
        names = ", ".join(sorted(ignored))
        print(f"ignored, as they would change results: {names}", file=sys.stderr)
    os.environ.update([ONEDNN])
    is_open = Path(tempfile.gettempdir()).stat().st_mode & stat.S_IWOTH
    if is_open and "tensorflow" not in sys.modules:
        # TensorFlow writes Python there and imports it, with bytecode that another user may write.
        tempfile.tempdir = tempfile.mkdtemp(prefix="tensorflow-")
        atexit.register(_remove, tempfile.tempdir, os.getpid())
    with _hidden([name for name in UNUSED if name not in sys.modules]):
        load_as_guest()


def load_as_guest() -> None:
    """Imports Keras and sets what models of this project need, in a process that may be another's.

    Environment and temporary folder stay as they are.

    Raises:
        InputError: As of `load`.
    """
    if "keras" not in sys.modules:
        _import()
    from keras import config

    if config.backend() != "tensorflow":
        raise InputError(
            f"Keras was loaded with the backend {config.backend()} in this process, and models of "
            "stemtune run on tensorflow; load them in a process of their own"
        )
    config.set_floatx("float32")
    config.set_epsilon(1e-7)
    config.set_image_data_format("channels_last")
    config.set_max_epochs(None)
    config.set_max_steps_per_epoch(None)


@contextmanager
def _hidden(modules: Sequence[str]) -> Iterator[None]:
    """Has imports of modules fail in a block, as if they were not installed."""
    sys.modules.update(dict.fromkeys(modules))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]


def _import() -> None:
    before = os.environ.get(BACKEND[0])
    os.environ.update([BACKEND])
    # Looking for garbage among what TensorFlow's modules hold takes a quarter of a short stage.
    gc.disable()
    try:
        with without_remarks():
            import keras  # noqa: F401
    except ValueError as error:
        home = os.environ.get("KERAS_HOME", Path.home() / ".keras")
        raise InputError(
            f"Keras cannot read {home}/keras.json: {error}; correct the file or delete it"
        ) from error
    finally:
        gc.freeze()
        gc.enable()
        del os.environ[BACKEND[0]]
        if before is not None:
            os.environ[BACKEND[0]] = before


def _remove(folder: str, owner: int) -> None:
    # A process that was forked since ends earlier.
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


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
