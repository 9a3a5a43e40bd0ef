"""Trains a stem in front of a frozen classifier, and makes sure that nothing else moves."""

from collections.abc import Iterable

import keras

from stemtune import files, models, stem, training
from stemtune.dataset import FrameBatches
from stemtune.records import Epoch


def train(
    model: keras.Model,
    frames: FrameBatches,
    validation: FrameBatches,
    learning_rate: float,
    epochs: int,
    title: str,
) -> list[Epoch]:
    """Trains the stem of a classifier; returns its epochs.

    Raises:
        AssertionError: Not just the stem's 528 parameters would be trained, or others changed.
    """
    trainable = models.parameters(model.trainable_variables)
    if trainable != stem.PARAMETERS:
        raise AssertionError(
            f"{title}: {trainable} parameters would be trained, not the stem's {stem.PARAMETERS}"
        )
    before = digest(model.non_trainable_variables)
    done = training.fit(
        model,
        learning_rate,
        frames,
        epochs=epochs,
        validation_data=validation,
        shuffle=False,
        title=title,
    )
    if digest(model.non_trainable_variables) != before:
        raise AssertionError(f"{title}: training changed weights behind the stem")
    return done


def digest(variables: Iterable[keras.Variable]) -> str:
    """Returns a checksum of the variables' values: equal bits, equal checksum."""
    return files.key(*(variable.numpy().tobytes() for variable in variables))
