"""The head: the output layer behind a frozen backbone, trained on features."""

import keras
import numpy as np

from stemtune import training
from stemtune.dataset import Labelled, Splits
from stemtune.records import Epoch


def new(features: int, classes: int, seed: int) -> keras.Model:
    """Returns a head from features (n, d) to class probabilities (n, classes).

    It starts from values drawn by `seed`, and so does all that its training draws later.
    """
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((features,))
    # A Sequential would forget, when it is loaded, that it is frozen.
    return keras.Model(
        inputs, keras.layers.Dense(classes, "softmax", name="classes")(inputs), name="head"
    )


def train(
    head: keras.Model,
    learning_rate: float,
    data: Splits,
    epochs: int,
    batch_size: int,
    title: str,
) -> list[Epoch]:
    """Trains a head on the features of the train split; returns its epochs."""
    return training.fit(
        head,
        learning_rate,
        *data.train,
        batch_size=batch_size,
        epochs=epochs,
        validation_data=tuple(data.validation),
        title=title,
    )


def accuracy(head: keras.Model, data: Labelled) -> float:
    """Returns the share of examples that a head classifies rightly."""
    return float((predict(head, data.features).argmax(axis=1) == data.labels).mean())


def predict(head: keras.Model, features: np.ndarray) -> np.ndarray:
    """Returns the class probabilities (n, classes) that a head gives for features (n, d)."""
    return head(features, training=False).numpy()
