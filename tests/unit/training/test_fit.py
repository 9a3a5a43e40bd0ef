"""A training keeps the right epoch, and says when it diverged."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from stemtune.training import fit

CLASSES = 2


class Forgiving(keras.layers.Dense):
    """Its output is finite whatever its weights are, as behind some kernels of ReLU."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Returns probabilities."""
        return keras.ops.softmax(keras.ops.nan_to_num(super().call(inputs, training)))


class Poisoning(keras.optimizers.SGD):
    """The second step leaves no number in any weight."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Divides 0 by 0 in the second step."""
        left = keras.ops.cast(self.iterations < 1, "float32")
        variable.assign(variable * left / left)


@pytest.mark.parametrize("keep_best", [False, True])
def test_weights_that_are_no_numbers_count_as_divergence_whatever_the_loss(keep_best: bool) -> None:
    data = np.eye(CLASSES, dtype=np.float32), np.arange(CLASSES)
    inputs = keras.Input((CLASSES,))
    model = keras.Model(inputs, Forgiving(CLASSES)(inputs))
    batches = tf.data.Dataset.from_tensor_slices(data).batch(CLASSES)
    trained = fit.fit(
        model, batches, data, 2, "tested", optimizer=Poisoning(1.0), keep_best=keep_best
    )
    assert ["validation_loss" in epoch.metrics for epoch in trained.epochs] == [True, False]
    assert trained.kept == (1 if keep_best else 2)
    assert all(np.isfinite(each).all() == keep_best for each in model.get_weights())
