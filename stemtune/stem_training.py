"""Trains a stem in front of a frozen classifier, and makes sure that nothing else moves."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stemtune import files, heads, models, stem, training
from stemtune.dataset import FrameBatches
from stemtune.records import Epoch

LABELS = "labels"
# Objective → the loss between what the teacher puts out and what the model with the stem does.
IMITATIONS = {
    "probabilities": keras.losses.KLDivergence,
    "features": keras.losses.CosineSimilarity,
}


class _Stem(keras.layers.Layer):
    """A stem as one layer, quick to train: the same variables, convolved in blocks."""

    def __init__(self, layers: keras.Model) -> None:
        super().__init__()
        self.stem = layers

    def call(self, frames: tf.Tensor) -> tf.Tensor:
        return stem.convolve(self.stem, frames)


def train(
    model: keras.Model,
    objective: str,
    frames: FrameBatches,
    validation: FrameBatches,
    learning_rate: float,
    epochs: int,
    title: str,
) -> list[Epoch]:
    """Trains the stem of a classifier; returns its epochs.

    Args:
        model: From `models.assemble`, with a stem.
        objective: "labels", or a key of `IMITATIONS`. Accuracy is that on labels in any case.
        frames: To train on; with a teacher's outputs unless the objective is "labels".
        validation: The same of the validation split.
        learning_rate: Adam's.
        epochs: How many.
        title: What is said to be trained.

    Raises:
        AssertionError: Not just the stem's 528 parameters would be trained, or others changed.
    """
    trainer, loss = _trainer(model, objective, frames.size)
    trainable = models.parameters(trainer.trainable_variables)
    if trainable != stem.PARAMETERS:
        raise AssertionError(
            f"{title}: {trainable} parameters would be trained, not the stem's {stem.PARAMETERS}"
        )
    before = digest(model.non_trainable_variables)
    done = training.fit(
        trainer,
        learning_rate,
        frames,
        epochs=epochs,
        validation_data=validation,
        shuffle=False,
        title=title,
        **loss,
    )
    if digest(model.non_trainable_variables) != before:
        raise AssertionError(f"{title}: training changed weights behind the stem")
    return done


def teacher_outputs(head: keras.Model, features: np.ndarray, objective: str) -> np.ndarray | None:
    """Returns what the stem learns to reproduce, from the features that the classifier knows.

    Args:
        head: The classifier's.
        features: (n, d), of the frames at the side that the head was trained at.
        objective: As `train` takes it; None is returned for "labels".
    """
    if objective == LABELS:
        return None
    return heads.predict(head, features) if objective == "probabilities" else features


def _trainer(model: keras.Model, objective: str, size: int) -> tuple[keras.Model, dict[str, Any]]:
    """Returns the classifier as it is trained, sharing all variables, and its loss and metrics."""
    frames = keras.Input((size, size, 3), dtype="uint8")
    x = model.get_layer("unit_range")(frames)
    features = model.get_layer("backbone")(_Stem(model.get_layer("stem"))(x), training=False)
    classes = model.get_layer("head")(features)
    if objective == LABELS:
        return keras.Model(frames, classes), {}
    taught = classes if objective == "probabilities" else features
    return keras.Model(frames, {"classes": classes, "teacher": taught}), {
        "loss": {"teacher": IMITATIONS[objective]()},
        "metrics": {"classes": "accuracy"},
    }


def digest(variables: Iterable[keras.Variable]) -> str:
    """Returns a checksum of the variables' values: equal bits, equal checksum."""
    return files.key(*(variable.numpy().tobytes() for variable in variables))
