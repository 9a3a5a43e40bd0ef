"""Trains a stem in front of a frozen backbone, alone or with the head, and nothing else."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stemtune.core import files
from stemtune.core.results import Epoch, Training
from stemtune.networks import images, stem
from stemtune.networks.classifier import Classifier
from stemtune.networks.cost import count_parameters
from stemtune.training import trainer
from stemtune.training.dataset import FrameBatches

# Keras counts accuracy in single precision.
TOLERANCE = 1e-6
# At which a teacher's probabilities are softened where labels are learned as well.
TEMPERATURE = 3.0
# Below it a probability is none that single precision can tell from 0.
LEAST = 1e-30


class SoftenedDivergence(keras.losses.Loss):
    """How far probabilities are from a teacher's, both softened by a temperature.

    Hinton et al., 2015: the divergence of softmax(z / T), times T², so that its gradient weighs as
    much as that of labels whatever the temperature.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self._temperature = temperature

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        wanted, found = (
            tf.nn.log_softmax(tf.math.log(tf.maximum(each, LEAST)) / self._temperature)
            for each in (y_true, y_pred)
        )
        divergence = tf.reduce_sum(tf.exp(wanted) * (wanted - found), axis=-1)
        return self._temperature**2 * divergence


OBJECTIVES: dict[str, dict[str, Any]] = {
    "distillation": {"loss": {"teacher": keras.losses.KLDivergence()}},
    "both": {
        "loss": {"classes": trainer.CROSS_ENTROPY, "teacher": SoftenedDivergence(TEMPERATURE)},
        "loss_weights": {"classes": 0.5, "teacher": 0.5},
    },
}


@dataclass(frozen=True)
class StemTraining:
    """What a training at one learning rate came to.

    Attributes:
        training: Its epochs.
        weights: Of what was trained, in the order of `StemTrainer.variables`.
        death: What shows that the stem is dead, in words; "" where it is alive.
    """

    training: Training
    weights: Sequence[np.ndarray]
    death: str

    @property
    def learning_rate(self) -> float:
        """Adam's."""
        return self.training.learning_rate

    @property
    def epochs(self) -> Sequence[Epoch]:
        """In order; epoch 0, the start, where the best is kept."""
        return self.training.epochs

    @property
    def metrics(self) -> Mapping[str, float]:
        """Of the epoch that was kept."""
        return self.training.metrics


class _Forward(keras.layers.Layer):
    """A classifier as one layer, so that Keras trains what its forward pass computes."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.stem, self.backbone, self.head = classifier.stem, classifier.backbone, classifier.head
        self._classifier = classifier

    def call(self, frames: tf.Tensor) -> tf.Tensor:
        return self._classifier(frames)


class StemTrainer:
    """A classifier that is compiled once, and its stem trained any number of times.

    Attributes:
        variables: Those of the stem and, if it trains along, of the head.
    """

    def __init__(
        self,
        classifier: Classifier,
        size: int,
        objective: str,
        joint: bool,
        clipnorm: float | None = None,
    ) -> None:
        """Compiles the classifier.

        Args:
            classifier: With a stem.
            size: Side of the stored frames, px.
            objective: "labels"; "distillation": the classifier learns to give the probabilities
                that a teacher gave (Hinton et al., 2015, at temperature 1), so that labels serve
                for the accuracy alone; "both": labels, and those probabilities softened, count half
                each.
            joint: Whether the head trains along with the stem.
            clipnorm: The largest norm that a variable's gradient may have; None: any.

        Raises:
            ValueError: The classifier has no stem.
            AssertionError: Other parameters than those would be trained.
        """
        self._stem = classifier.require_stem()
        self._frozen = [classifier.backbone] if joint else [classifier.backbone, classifier.head]
        classifier.head.trainable = joint
        inputs = keras.Input((size, size, 3), dtype="uint8")
        probabilities = _Forward(classifier)(inputs)
        if objective == "labels":
            model = keras.Model(inputs, probabilities)
            self._trainer = trainer.Trainer(model, clipnorm=clipnorm)
        else:
            outputs = {"classes": probabilities, "teacher": probabilities}
            self._trainer = trainer.Trainer(
                keras.Model(inputs, outputs),
                metrics={"classes": "accuracy"},
                clipnorm=clipnorm,
                **OBJECTIVES[objective],
            )
        self.variables = self._trainer.variables
        meant = stem.PARAMETERS + (classifier.head.count_params() if joint else 0)
        trainable = count_parameters(self.variables)
        if trainable != meant:
            raise AssertionError(f"{trainable} parameters would be trained, not {meant}")

    def train(
        self,
        frames: FrameBatches,
        validation: FrameBatches,
        learning_rate: float,
        epochs: int,
        title: str,
        on_epoch: Callable[[Epoch], None],
        keep_best: bool = False,
        decay: bool = False,
    ) -> StemTraining:
        """Trains from the weights that there are.

        Args:
            frames: To train on, with the teacher's probabilities unless labels alone are learned.
            validation: The same of the validation split.
            learning_rate: Adam's.
            epochs: How many.
            title: What is said to be trained.
            on_epoch: Is given each epoch when it is over.
            keep_best: Whether the weights of the epoch that validates best are kept, the start
                included, not those of the last.
            decay: Whether the learning rate falls to 0 along a cosine.

        Raises:
            AssertionError: Something that is frozen changed.
        """
        before = self._digest_frozen()
        training = self._trainer.fit(
            learning_rate,
            frames.stream(),
            epochs=epochs,
            validation_data=validation.stream(),
            shuffle=False,
            title=title,
            on_epoch=on_epoch,
            keep_best=keep_best,
            decay_steps=epochs * frames.num_batches if decay else None,
        )
        if self._digest_frozen() != before:
            raise AssertionError(f"{title}: training changed weights that are frozen")
        weights = [variable.numpy() for variable in self.variables]
        return StemTraining(training, weights, self._death(frames, validation, training.epochs))

    def _death(
        self, frames: FrameBatches, validation: FrameBatches, epochs: Sequence[Epoch]
    ) -> str:
        """Returns in words what shows that the stem is dead; "" where it is alive."""
        if self._hands_on_zeros(validation):
            return "it hands on nothing but zeros, so that every frame gets the same answer"
        trained = [epoch for epoch in epochs if epoch.epoch]
        accuracies = {epoch.metrics["train_accuracy"] for epoch in trained}
        highest, chance = max(accuracies), frames.share_of_one_class
        if len(trained) > 1 and len(accuracies) == 1 and highest < chance + TOLERANCE:
            return (
                f"training accuracy stayed at {highest:.2%} in all {len(trained)} epochs, and the "
                f"same answer to every frame gives {chance:.2%}"
            )
        return ""

    def _hands_on_zeros(self, frames: FrameBatches) -> bool:
        """Returns whether what the stem hands on of these frames is zero throughout."""
        batches = (frames[number][0] for number in range(frames.num_batches))
        return not any(self._stem(images.unit_range(batch)).numpy().any() for batch in batches)

    def _digest_frozen(self) -> str:
        return digest(variable for part in self._frozen for variable in part.variables)


def trained_variables(classifier: Classifier, joint: bool) -> list[keras.Variable]:
    """Returns those of a classifier's stem and, if that trains along, of its head."""
    return [*classifier.require_stem().variables, *(classifier.head.variables if joint else [])]


def assign(variables: Iterable[keras.Variable], weights: Iterable[np.ndarray]) -> None:
    """Gives variables the values that are in `weights`, in the same order."""
    for variable, value in zip(variables, weights, strict=True):
        variable.assign(value)


def digest(variables: Iterable[keras.Variable]) -> str:
    """Returns a checksum of the variables' values."""
    return files.digest(*(variable.numpy() for variable in variables))
