"""A classifier of stem, backbone and head: its one forward pass and how it is stored.

A classifier takes frames (n, h, w, 3), uint8, RGB, and gives class probabilities (n, classes):

    frames → unit_range → [stem →] backbone → head
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stemtune.core import files
from stemtune.core.errors import Missing
from stemtune.core.input_specification import (
    CLASSES_FILE,
    SPECIFICATION_FILE,
    InputSpecification,
)
from stemtune.networks import images

ARCHITECTURE_FILE = "architecture.json"
WEIGHTS_FILE = "model.weights.h5"
Predict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Classifier:
    """The parts of a classifier, which it shares with others that have the same.

    Attributes:
        name: Of the model.
        backbone: From `backbones.concatenate`; frozen.
        head: From `heads.build`, without dropout.
        stem: From `stem.build`; None for a classifier without.
    """

    name: str
    backbone: keras.Model
    head: keras.Model
    stem: keras.Model | None = None

    def __call__(self, frames: Any, side: int | None = None) -> Any:
        """Returns the probabilities (n, classes) of frames (n, h, w, 3), RGB: the forward pass.

        Training, serving and export all run it, and FLOPs are counted on it.

        Args:
            frames: From 0 to 255, of any type; a tensor, or a symbolic one.
            side: To which frames are resized by area beforehand, px; None: not at all.
        """
        return self.head(self.features(frames, side), training=False)

    def features(self, frames: Any, side: int | None = None) -> Any:
        """Returns the backbone's features (n, d), float32, which the head takes; see `__call__`."""
        x = images.unit_range(frames)
        if side is not None:
            x = images.resize(x, side)
        if self.stem is not None:
            x = self.stem(x)
        return self.backbone(x, training=False)

    @property
    def classes(self) -> int:
        """How many classes it tells apart."""
        return int(self.head.output_shape[-1])

    def require_stem(self) -> keras.Model:
        """Returns the stem; raises ValueError where there is none."""
        if self.stem is None:
            raise ValueError(f"the classifier {self.name} has no stem")
        return self.stem

    @cached_property
    def model(self) -> keras.Model:
        """The classifier as a plain Keras model, for frames of any side."""
        frames = keras.Input((None, None, 3), dtype="uint8", name="frames")
        return keras.Model(frames, self(frames), name=self.name)

    def predictor(self, side: int | None = None) -> Predict:
        """Returns a compiled function from frames (n, h, w, 3), uint8, to probabilities.

        Args:
            side: To which frames are resized by area beforehand, px; None: not at all.
        """

        @tf.function(reduce_retracing=True)
        def compiled(frames: tf.Tensor) -> tf.Tensor:
            return self(frames, side)

        return lambda frames: compiled(frames).numpy()


def save(
    classifier: Classifier, classes: list[str], takes: InputSpecification, folder: Path
) -> None:
    """Stores a classifier as architecture, weights, class names and what it was trained on.

    A `.keras` file would hold the time of saving: whatever depends on it would run again.
    """
    save_network(classifier, folder)
    files.write_json(folder / CLASSES_FILE, classes)
    files.write_json(folder / SPECIFICATION_FILE, asdict(takes))


def save_network(classifier: Classifier, folder: Path) -> None:
    """Stores what `load` needs."""
    files.write_text(folder / ARCHITECTURE_FILE, classifier.model.to_json(indent=1))
    with files.replacing(folder / WEIGHTS_FILE) as beside:
        classifier.model.save_weights(beside)


def specification(folder: Path) -> InputSpecification:
    """Returns what frames a classifier takes that `save` stored."""
    return InputSpecification(**files.read_json(folder / SPECIFICATION_FILE))


def load(folder: Path) -> Classifier:
    """Loads a classifier that `save` stored.

    Raises:
        Missing: Nothing is stored there.
    """
    architecture = folder / ARCHITECTURE_FILE
    if not architecture.exists():
        raise Missing(architecture)
    model = keras.models.model_from_json(architecture.read_text(encoding="utf-8"))
    model.load_weights(folder / WEIGHTS_FILE)
    layers = {layer.name: layer for layer in model.layers}
    return Classifier(model.name, layers["backbone"], layers["head"], layers.get("stem"))
