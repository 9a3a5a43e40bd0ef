"""Trains a stem in front of a frozen classifier, and makes sure that nothing else moves."""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import tensorflow as tf

from stemtune import files, models, stem, training
from stemtune.dataset import FrameBatches
from stemtune.records import Epoch


class _Stem(keras.layers.Layer):
    """A stem as one layer, quick to train: the same variables, convolved in blocks."""

    def __init__(self, layers: keras.Model) -> None:
        super().__init__()
        self.stem = layers

    def call(self, frames: tf.Tensor) -> tf.Tensor:
        return stem.convolve(self.stem, frames)


def train(
    model: keras.Model,
    frames: FrameBatches,
    validation: FrameBatches,
    learning_rate: float,
    epochs: int,
    title: str,
    seen: Callable[[Epoch], None],
) -> None:
    """Trains the stem of a classifier.

    Args:
        model: From `models.assemble`, with a stem.
        frames: To train on. Where they have a teacher's probabilities, the stem learns to make the
            classifier give the same (Hinton et al., 2015, at temperature 1), and labels serve for
            the accuracy alone.
        validation: The same of the validation split.
        learning_rate: Adam's.
        epochs: How many.
        title: What is said to be trained.
        seen: Is given each epoch when it is over.

    Raises:
        AssertionError: Not just the stem's 528 parameters would be trained, or others changed.
    """
    trainer, loss = _trainer(model, frames)
    trainable = models.parameters(trainer.trainable_variables)
    if trainable != stem.PARAMETERS:
        raise AssertionError(
            f"{title}: {trainable} parameters would be trained, not the stem's {stem.PARAMETERS}"
        )
    before = digest(model.non_trainable_variables)
    training.fit(
        trainer,
        learning_rate,
        frames,
        epochs=epochs,
        validation_data=validation,
        shuffle=False,
        title=title,
        seen=seen,
        **loss,
    )
    if digest(model.non_trainable_variables) != before:
        raise AssertionError(f"{title}: training changed weights behind the stem")


def _trainer(model: keras.Model, frames: FrameBatches) -> tuple[keras.Model, dict[str, Any]]:
    """Returns the classifier as it is trained, sharing all variables, and its loss and metrics."""
    inputs = keras.Input((frames.size, frames.size, 3), dtype="uint8")
    x = _Stem(model.get_layer("stem"))(model.get_layer("unit_range")(inputs))
    features = model.get_layer("backbone")(x, training=False)
    probabilities = model.get_layer("head")(features, training=False)
    if frames.teacher is None:
        return keras.Model(inputs, probabilities), {}
    return keras.Model(inputs, {"classes": probabilities, "teacher": probabilities}), {
        "loss": {"teacher": keras.losses.KLDivergence()},
        "metrics": {"classes": "accuracy"},
    }


def digest(variables: Iterable[keras.Variable]) -> str:
    """Returns a checksum of the variables' values: equal bits, equal checksum."""
    return files.key(*(variable.numpy().tobytes() for variable in variables))
