"""Trains a stem in front of a frozen classifier, and makes sure that nothing else moves."""

from collections.abc import Callable, Iterable

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


class StemTrainer:
    """A classifier that is compiled once, and its stem trained any number of times."""

    def __init__(self, model: keras.Model, size: int, taught: bool) -> None:
        """Compiles the classifier.

        Args:
            model: From `models.assemble`, with a stem.
            size: Side of the stored frames, px.
            taught: Whether the stem learns to make the classifier give the probabilities that a
                teacher gave (Hinton et al., 2015, at temperature 1), so that labels serve for the
                accuracy alone.

        Raises:
            AssertionError: Not just the stem's 528 parameters would be trained.
        """
        self._model = model
        inputs = keras.Input((size, size, 3), dtype="uint8")
        x = _Stem(model.get_layer("stem"))(model.get_layer("unit_range")(inputs))
        features = model.get_layer("backbone")(x, training=False)
        probabilities = model.get_layer("head")(features, training=False)
        if taught:
            outputs = {"classes": probabilities, "teacher": probabilities}
            self._trainer = training.Trainer(
                keras.Model(inputs, outputs),
                {"teacher": keras.losses.KLDivergence()},
                {"classes": "accuracy"},
            )
        else:
            self._trainer = training.Trainer(keras.Model(inputs, probabilities))
        trainable = models.parameters(self._trainer.variables)
        if trainable != stem.PARAMETERS:
            raise AssertionError(
                f"{trainable} parameters would be trained, not the stem's {stem.PARAMETERS}"
            )

    def train(
        self,
        frames: FrameBatches,
        validation: FrameBatches,
        learning_rate: float,
        epochs: int,
        title: str,
        seen: Callable[[Epoch], None],
    ) -> None:
        """Trains the stem from the weights that it has.

        Args:
            frames: To train on, with the teacher's probabilities if it is taught.
            validation: The same of the validation split.
            learning_rate: Adam's.
            epochs: How many.
            title: What is said to be trained.
            seen: Is given each epoch when it is over.

        Raises:
            AssertionError: Something behind the stem changed.
        """
        before = digest(self._model.non_trainable_variables)
        self._trainer.fit(
            learning_rate,
            frames.stream(),
            epochs=epochs,
            validation_data=validation.stream(),
            shuffle=False,
            title=title,
            seen=seen,
        )
        if digest(self._model.non_trainable_variables) != before:
            raise AssertionError(f"{title}: training changed weights behind the stem")


def digest(variables: Iterable[keras.Variable]) -> str:
    """Returns a checksum of the variables' values."""
    return files.digest(*(variable.numpy() for variable in variables))
