"""The losses of stems, as `keras.Model.compile` takes them: labels, a teacher, or both."""

from typing import Any

import keras
import tensorflow as tf

from stemtune.training.fit import CROSS_ENTROPY

# At which a teacher's probabilities are softened if labels are learned as well.
TEMPERATURE = 3.0
# Below it a probability cannot be told from 0 in single precision.
LEAST = 1e-30


class SoftenedDivergence(keras.losses.Loss):
    """How far probabilities are from a teacher's, both softened by a temperature.

    Hinton et al., 2015: the divergence of softmax(z / T), times T², so its gradient weighs as much
    as that of labels at any temperature.
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


# "distillation": labels serve for the accuracy alone; "both": each counts half.
OBJECTIVES: dict[str, dict[str, Any]] = {
    "labels": {},
    "distillation": {
        "loss": {"teacher": keras.losses.KLDivergence()},
        "metrics": {"classes": "accuracy"},
    },
    "both": {
        "loss": {"classes": CROSS_ENTROPY, "teacher": SoftenedDivergence(TEMPERATURE)},
        "loss_weights": {"classes": 0.5, "teacher": 0.5},
        "metrics": {"classes": "accuracy"},
    },
}
