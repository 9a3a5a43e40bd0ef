"""Classifiers as Keras models: put together, stored so that equal models give equal bytes, counted.

Every classifier takes frames (n, h, w, 3), uint8, RGB, and gives class probabilities (n, classes):

    frames → unit_range → [stem →] backbone → head
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from stemtune import files, images
from stemtune import stem as stem_layers

ARCHITECTURE_FILE = "architecture.json"
WEIGHTS_FILE = "model.weights.h5"
CLASSES_FILE = "classes.json"
TRAINED_ON_FILE = "trained_on.json"
TIMED_BATCH, TIMED_REPEATS = 32, 5
Predict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class TrainedOn:
    """What frames a classifier was trained on.

    Attributes:
        frames_per_clip: Taken from each clip.
        size: Side of the squares that frames are scaled to, px.
        side: Side to which those are resized by area before the classifier sees them, px; of one
            with a stem the same as `size`.
    """

    frames_per_clip: int
    size: int
    side: int


def assemble(
    name: str, backbone: keras.Model, head: keras.Model, stem: keras.Model | None = None
) -> keras.Model:
    """Puts a classifier together from parts that it shares, not copies.

    Args:
        name: Of the model.
        backbone: From `backbones.concatenate`; stays frozen.
        head: From `heads.new`; frozen behind a stem.
        stem: From `stem.build`; None for a classifier without.
    """
    frames = keras.Input((None, None, 3), dtype="uint8", name="frames")
    x = keras.layers.Rescaling(1 / 255, name="unit_range")(frames)
    if stem is not None:
        head.trainable = False
        x = stem(x)
    return keras.Model(frames, head(backbone(x, training=False)), name=name)


def save(model: keras.Model, classes: list[str], trained_on: TrainedOn, folder: Path) -> None:
    """Stores a classifier as architecture, weights, class names and what it was trained on.

    A `.keras` file would hold the time of saving: whatever depends on it would run again.
    """
    files.write_text(folder / ARCHITECTURE_FILE, model.to_json(indent=1))
    with files.replacing(folder / WEIGHTS_FILE) as beside:
        model.save_weights(beside)
    files.write_json(folder / CLASSES_FILE, classes)
    files.write_json(folder / TRAINED_ON_FILE, asdict(trained_on))


def load(folder: Path) -> keras.Model:
    """Loads a classifier that `save` stored.

    Raises:
        FileNotFoundError: Nothing is stored there.
    """
    architecture = folder / ARCHITECTURE_FILE
    if not architecture.exists():
        raise FileNotFoundError(f"{folder} holds no model; `dvc repro` makes it")
    model = keras.models.model_from_json(architecture.read_text(encoding="utf-8"))
    model.load_weights(folder / WEIGHTS_FILE)
    return model


def predictor(model: keras.Model, side: int | None = None) -> Predict:
    """Returns a compiled function from frames (n, h, w, 3), uint8, to probabilities (n, classes).

    Args:
        model: A classifier.
        side: To which frames are resized by area beforehand; None: not at all.
    """

    backbone, head = model.get_layer("backbone"), model.get_layer("head")
    stem = next((layer for layer in model.layers if layer.name == "stem"), None)

    @tf.function(reduce_retracing=True)
    def compiled(frames: tf.Tensor) -> tf.Tensor:
        x = images.unit_range(frames)
        if side is not None:
            x = images.resize(x, side)
        if stem is not None:
            x = stem_layers.convolve(stem, x)
        return head(backbone(x, training=False))

    return lambda frames: compiled(frames).numpy()


def milliseconds_per_frame(predict: Predict, size: int) -> float:
    """Measures a classifier's time for a frame of a batch in memory, the median over batches."""
    frames = np.random.default_rng(0).integers(0, 256, (TIMED_BATCH, size, size, 3), np.uint8)
    predict(frames)
    seconds = []
    for _ in range(TIMED_REPEATS):
        started = time.perf_counter()
        predict(frames)
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds)) / TIMED_BATCH * 1000


def parameters(variables: Iterable[keras.Variable]) -> int:
    """Returns how many numbers the variables hold."""
    return sum(int(np.prod(variable.shape)) for variable in variables)


def flops(model: keras.Model, side: int) -> int:
    """Returns the floating-point operations for one frame, a multiplication and an addition as two.

    Counted by TensorFlow's profiler on the graph for a frame of `side`.
    """
    function = tf.function(lambda frames: model(frames, training=False))
    graph = function.get_concrete_function(tf.TensorSpec((1, side, side, 3), tf.uint8)).graph
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output().build()
    return int(tf.compat.v1.profiler.profile(graph, options=options).total_float_ops)
