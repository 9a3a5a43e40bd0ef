"""The losses of stems, as `keras.Model.compile` takes them: labels, a teacher, or both."""

from typing import Any

import keras
import tensorflow as tf

from stemtune.training.fit import CROSS_ENTROPY

# At which a teacher's probabilities are softened if labels are learned as well.
TEMPERATURE = 3.0
# Below it a probability cannot be told from 0 in single precision.
LEAST = 1e-30


def softened_divergence(y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    """Returns how far probabilities (n, classes) are from a teacher's, both softened: (n,).

    Hinton et al., 2015: the divergence of softmax(z / T), times T², so its gradient weighs as much
    as that of labels at any temperature.
    """
    wanted, found = (
        tf.nn.log_softmax(tf.math.log(tf.maximum(each, LEAST)) / TEMPERATURE)
        for each in (y_true, y_pred)
    )
    return TEMPERATURE**2 * tf.reduce_sum(tf.exp(wanted) * (wanted - found), axis=-1)


# "distillation": labels serve for the accuracy alone; "both": each counts half.
OBJECTIVES: dict[str, dict[str, Any]] = {
    "labels": {},
    "distillation": {
        "loss": {"teacher": keras.losses.KLDivergence()},
        "metrics": {"classes": "accuracy"},
    },
    "both": {
        "loss": {"classes": CROSS_ENTROPY, "teacher": softened_divergence},
        "loss_weights": {"classes": 0.5, "teacher": 0.5},
        "metrics": {"classes": "accuracy"},
    },
}
