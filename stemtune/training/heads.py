"""The head: what is trained on features behind a frozen backbone; the paper's is one layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import keras
import numpy as np

from stemtune.core import terminal
from stemtune.core.params import Params
from stemtune.core.records import Record
from stemtune.core.results import Training
from stemtune.core.settings.training import Head
from stemtune.networks import seeds
from stemtune.training import fit, kept
from stemtune.training.dataset import Splits
from stemtune.training.kept import Kept
from stemtune.training.progress import Tell, add, nobody

# A step on cached features is shorter than what Keras does between two.
STEPS_PER_EXECUTION = 32


@dataclass(frozen=True)
class HeadPlan:
    """A training of a head with Adam.

    Attributes:
        name: In records.
        seed: Of its start, its dropout and the order of examples.
        epochs: The last epoch, counted from 1.
        keep_best: Whether the epoch with the lowest validation loss is kept, not the last.
        initial_epoch: How many epochs an earlier training, which it continues, has trained.
        weights: That it starts from; none: random ones.
        moments: Values of Adam's variables that it starts from; none: those of a new Adam.
    """

    name: str
    head: Head
    classes: int
    seed: int
    batch_size: int
    learning_rate: float
    epochs: int
    keep_best: bool = False
    initial_epoch: int = 0
    weights: Sequence[np.ndarray] = ()
    moments: Sequence[np.ndarray] = ()

    def continuing(self, trained: "TrainedHead") -> "HeadPlan":
        """Returns the plan for the epochs after those of a trained head."""
        done = trained.training.epochs[-1].epoch
        weights = trained.head.get_weights()
        return replace(self, initial_epoch=done, weights=weights, moments=trained.moments)


class TrainedHead(NamedTuple):
    """A trained head, without dropout.

    Attributes:
        moments: Values of Adam's variables, for a training that continues this one.
    """

    head: keras.Model
    learning_rate: float
    training: Training
    moments: Sequence[np.ndarray]

    @property
    def metrics(self) -> Mapping[str, float]:
        """Those of the kept epoch."""
        return self.training.metrics


def build(features: int, classes: int, params: Head, seed: int) -> keras.Model:
    """Returns a head from features (n, d) to class probabilities (n, classes).

    Without a hidden layer and dropout it is the output layer alone. The seed decides its start and
    what dropout drops.
    """
    # Keras would number it, and a model's bytes would tell how many heads were built before.
    inputs = x = keras.Input((features,), name="features")
    if params.units is not None:
        start = seeds.glorot(seed, "hidden")
        x = keras.layers.Dense(params.units, "relu", kernel_initializer=start, name="hidden")(x)
    if params.dropout:
        x = keras.layers.Dropout(params.dropout, seed=seeds.of(seed, "dropout"), name="dropout")(x)
    start = seeds.glorot(seed, "classes")
    x = keras.layers.Dense(classes, "softmax", kernel_initializer=start, name="classes")(x)
    # A Sequential would forget, when it is loaded, that it is frozen.
    return keras.Model(inputs, x, name="head")


def plans(settings: Params, classes: int, name: str) -> list[HeadPlan]:
    """Returns a training at each learning rate of `add_stem.retrained_head`.

    Args:
        settings: The content of params.yaml.
        classes: Number of classes.
        name: What their names in records begin with.
    """
    chosen = settings.add_stem.retrained_head
    return [
        HeadPlan(
            name=f"{name}trial {number}",
            head=settings.train_best.head,
            classes=classes,
            seed=settings.runtime.seed,
            batch_size=settings.train_best.batch_size,
            learning_rate=rate,
            epochs=chosen.epochs,
            keep_best=True,
        )
        for number, rate in enumerate(chosen.learning_rates, start=1)
    ]


def train(
    plan: HeadPlan,
    data: Splits,
    title: str,
    tell: Tell = nobody,
    on_epoch: fit.OnEpoch | None = None,
    memory: Kept | None = None,
) -> TrainedHead:
    """Trains a head.

    Args:
        plan: How.
        data: Features and labels; test is left alone.
        title: Shown on the terminal.
        tell: Receives the record of the training as it begins, after each epoch and at its end.
        on_epoch: Receives each epoch when it ends, in place of that record.
        memory: Finished trainings of a killed stage; for live features, which take hours.
    """
    params = {"learning_rate": plan.learning_rate, "epochs": plan.epochs}
    record = Record.start(plan.name, params)
    tell(record)
    head, adam = _begin(plan, data.train.features.shape[1])
    path = memory.path(plan, data) if memory and data.live else None
    if path and path.exists():
        print(f"{title}: {plan.name}, seed {plan.seed}: finished before, kept", flush=True)
        training, arrays = kept.read(path)
        record.epochs = [*training.epochs]
        terminal.move(plan.epochs - plan.initial_epoch)
        weights, moments = arrays[: len(head.weights)], arrays[len(head.weights) :]
        head.set_weights(weights)
    else:
        # Epochs that continue a training do not repeat the order of those before.
        order = seeds.of(plan.seed, f"order from {plan.initial_epoch}")
        training = fit.fit(
            head,
            data.train_batches(plan.batch_size, order),
            tuple(data.validation),
            plan.epochs,
            f"{title}: {plan.name}, learning rate {plan.learning_rate:.3g}, seed {plan.seed}",
            on_epoch or partial(add, record, tell),
            initial_epoch=plan.initial_epoch,
            keep_best=plan.keep_best,
            optimizer=adam,
            steps_per_execution=1 if data.live else STEPS_PER_EXECUTION,
        )
        moments = [variable.numpy() for variable in adam.variables]
        if path:
            kept.write(path, training, [*head.get_weights(), *moments])
    record.metrics = dict(training.metrics)
    record.finish()
    tell(record)
    return TrainedHead(without_dropout(head), plan.learning_rate, training, moments)


def _begin(plan: HeadPlan, features: int) -> tuple[keras.Model, keras.optimizers.Adam]:
    """Returns an untrained head and its optimizer, or those of the training that it continues."""
    head = build(features, plan.classes, plan.head, plan.seed)
    adam = keras.optimizers.Adam(plan.learning_rate)
    adam.build(head.trainable_variables)
    if plan.weights:
        head.set_weights(plan.weights)
    for variable, value in zip(adam.variables, plan.moments, strict=False):
        variable.assign(value)
    return head, adam


def without_dropout(head: keras.Model) -> keras.Model:
    """Returns a head without its dropout, sharing its layers, for a classifier to end in.

    A stem's training runs the layers behind it in training mode, and would drop features.
    """
    dropout = [layer for layer in head.layers if isinstance(layer, keras.layers.Dropout)]
    if not dropout:
        return head
    x = head.input
    for layer in head.layers[1:]:
        x = x if layer in dropout else layer(x)
    return keras.Model(head.input, x, name=head.name)


def predict(head: keras.Model, features: np.ndarray) -> np.ndarray:
    """Returns the class probabilities (n, classes) that a head gives for features (n, d)."""
    return head(features, training=False).numpy()
