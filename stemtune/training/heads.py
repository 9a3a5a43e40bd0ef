"""The head: what is trained on features behind a frozen backbone; the paper's is one layer."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from stemtune.core.results import Epoch, Training
from stemtune.core.settings.training import Head
from stemtune.training import trainer
from stemtune.training.dataset import Labelled, Splits

# A step on cached features is shorter than what Keras does between two.
STEPS_PER_EXECUTION = 32


def build(features: int, classes: int, params: Head, seed: int) -> keras.Model:
    """Returns a head from features (n, d) to class probabilities (n, classes).

    Without a hidden layer and dropout it is the output layer alone. It starts from values drawn by
    `seed`, and so does all that its training draws later.
    """
    keras.utils.set_random_seed(seed)
    # Keras would number it, and a model's bytes would tell how many heads were built before.
    inputs = x = keras.Input((features,), name="features")
    if params.units is not None:
        x = keras.layers.Dense(params.units, "relu", name="hidden")(x)
    if params.dropout:
        x = keras.layers.Dropout(params.dropout, seed=seed, name="dropout")(x)
    # A Sequential would forget, when it is loaded, that it is frozen.
    return keras.Model(
        inputs, keras.layers.Dense(classes, "softmax", name="classes")(x), name="head"
    )


def compiled_trainer(head: keras.Model, data: Splits) -> trainer.Trainer:
    """Returns what trains a head on such data, once or several times."""
    steps = STEPS_PER_EXECUTION if data.live is None else 1
    return trainer.Trainer(head, steps_per_execution=steps)


def train(
    head: keras.Model,
    learning_rate: float,
    data: Splits,
    epochs: int,
    batch_size: int,
    title: str,
    on_epoch: Callable[[Epoch], None],
    compiled: trainer.Trainer | None = None,
    **settings: Any,
) -> Training:
    """Trains a head on the features of the train split, and returns what that came to.

    Args:
        head: From `new`.
        learning_rate: Adam's.
        data: Features and labels; test is left alone.
        epochs: The last epoch, counted from 1.
        batch_size: Examples per step.
        title: What is said to be trained.
        on_epoch: Is given each epoch when it is over.
        compiled: The head's `trainer`, from an earlier training; None: a new one.
        settings: As `training.Trainer.fit` takes them.
    """
    given: tuple[Any, ...]
    if data.live is None:
        given, settings["batch_size"] = tuple(data.train), batch_size
    else:
        # `new` has set the state that this draws from.
        given = (data.live(batch_size, np.random.randint(2**31)),)
        settings["shuffle"] = False
    return (compiled or compiled_trainer(head, data)).fit(
        learning_rate,
        *given,
        epochs=epochs,
        validation_data=tuple(data.validation),
        title=title,
        on_epoch=on_epoch,
        **settings,
    )


def without_dropout(head: keras.Model) -> keras.Model:
    """Returns a head without its dropout, sharing its layers, for a classifier to end in.

    Training a stem runs what is behind it as in training, frozen or not, and would drop features.
    """
    kept = [layer for layer in head.layers[1:] if not isinstance(layer, keras.layers.Dropout)]
    if len(kept) == len(head.layers) - 1:
        return head
    x = head.input
    for layer in kept:
        x = layer(x)
    return keras.Model(head.input, x, name=head.name)


def accuracy(head: keras.Model, data: Labelled) -> float:
    """Returns the share of examples that a head classifies rightly."""
    return float((predict(head, data.features).argmax(axis=1) == data.labels).mean())


def predict(head: keras.Model, features: np.ndarray) -> np.ndarray:
    """Returns the class probabilities (n, classes) that a head gives for features (n, d)."""
    return head(features, training=False).numpy()
