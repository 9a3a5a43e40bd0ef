"""The head: what is trained on features behind a frozen backbone; the paper's is one layer.

A head that is trained from scratch tries each learning rate of a list, and keeps the rate and the
epoch with the lowest validation loss.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import keras
import numpy as np

from stemtune.core.params import Params
from stemtune.core.records import Record
from stemtune.core.results import Epoch, Training, by_loss
from stemtune.core.settings.training import Head
from stemtune.networks import seeds
from stemtune.training import fit
from stemtune.training.dataset import Labelled, Splits
from stemtune.training.kept import Kept, Trained

# A step on cached features is shorter than what Keras does between two.
STEPS_PER_EXECUTION = 32
# Shows the record of a training that begins.
Tell = Callable[[Record], None]


@dataclass(frozen=True)
class HeadPlan:
    """A training of a head.

    Attributes:
        name: In records.
        head: Its layers.
        classes: Number of classes.
        seed: Of its start, its dropout and the order of examples.
        batch_size: Examples per step.
        learning_rate: Adam's.
        epochs: The last epoch, counted from 1.
        keep_best: Whether the epoch with the lowest validation loss is kept, not the last.
        continues: The training that it continues, for more epochs; None: a new one.
        start: Weights that a new one starts from; None: random ones.
    """

    name: str
    head: Head
    classes: int
    seed: int
    batch_size: int
    learning_rate: float
    epochs: int
    keep_best: bool = False
    continues: Trained | None = None
    start: Sequence[np.ndarray] | None = None

    @property
    def first(self) -> int:
        """The epoch that it begins with, counted from 0."""
        return self.continues.training.epochs[-1].epoch if self.continues else 0


class FoundHead(NamedTuple):
    """The best head of several, without dropout, and its training."""

    head: keras.Model
    training: Training


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


def plans(
    settings: Params, classes: int, name: str = "", start: keras.Model | None = None
) -> list[HeadPlan]:
    """Returns the trainings to choose from for a head that is trained from scratch.

    Args:
        settings: The content of params.yaml; `add_stem.retrained_head` has the learning rates.
        classes: Number of classes.
        name: What their names in records begin with.
        start: A trained head to continue from, which stays if no epoch is better; None: new ones.
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
            start=start and start.get_weights(),
        )
        for number, rate in enumerate(chosen.learning_rates, start=1)
    ]


def train(
    plan: HeadPlan,
    data: Splits,
    title: str,
    tell: Tell = lambda record: None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    kept: Kept | None = None,
) -> Trained:
    """Trains a head on the features of the train split; test is left alone.

    Args:
        plan: How.
        data: Features and labels.
        title: Named in each line that is printed.
        tell: Shows the record of this training, which grows with each epoch.
        on_epoch: Receives each epoch when it ends.
        kept: Trainings that a killed stage finished; for live features, which take hours.
    """
    child = Record.start(plan.name, {"learning_rate": plan.learning_rate, "epochs": plan.epochs})
    tell(child)
    memory = kept.of(plan, data) if kept and data.live else None
    trained = memory.read() if memory else None
    if trained:
        print(f"{title}: {plan.name}, seed {plan.seed}: finished before, kept", flush=True)
        child.epochs = [*trained.training.epochs]
    else:

        def seen(epoch: Epoch) -> None:
            child.add(epoch)
            on_epoch(epoch)

        head = _start(plan, data)
        fitted = fit.fit(
            head,
            # Epochs that continue a training do not repeat the order of those before.
            data.train_batches(plan.batch_size, seeds.of(plan.seed, f"order from {plan.first}")),
            tuple(data.validation),
            _fit_plan(plan, data),
            f"{title}: {plan.name}, learning rate {plan.learning_rate:.3g}, seed {plan.seed}",
            seen,
        )
        trained = Trained(fitted.training, head.get_weights(), fitted.moments)
        if memory:
            memory.write(trained)
    child.metrics = dict(trained.training.metrics)
    child.finish()
    return trained


def best(tried: Sequence[Trained], plan: HeadPlan, features: int) -> FoundHead:
    """Returns the head with the lowest validation loss.

    Args:
        tried: What became of each plan.
        plan: One of the plans, which have the same layers.
        features: Of a frame.
    """
    kept = min(tried, key=lambda each: by_loss(each.training))
    return FoundHead(without_dropout(restored(kept, plan, features)), kept.training)


def restored(trained: Trained, plan: HeadPlan, features: int) -> keras.Model:
    """Returns a trained head, from its plan and weights."""
    head = build(features, plan.classes, plan.head, plan.seed)
    head.set_weights(trained.weights)
    return head


def _start(plan: HeadPlan, data: Splits) -> keras.Model:
    head = build(data.features, plan.classes, plan.head, plan.seed)
    start = plan.continues.weights if plan.continues else plan.start
    if start is not None:
        head.set_weights(start)
    return head


def _fit_plan(plan: HeadPlan, data: Splits) -> fit.Plan:
    return fit.Plan(
        plan.learning_rate,
        plan.epochs,
        plan.keep_best,
        first=plan.first,
        moments=plan.continues.moments if plan.continues else None,
        steps_per_execution=1 if data.live else STEPS_PER_EXECUTION,
    )


def without_dropout(head: keras.Model) -> keras.Model:
    """Returns a head without its dropout, sharing its layers, for a classifier to end in.

    A stem's training runs the layers behind it in training mode, and would drop features.
    """
    kept = [layer for layer in head.layers[1:] if not isinstance(layer, keras.layers.Dropout)]
    if len(kept) == len(head.layers) - 1:
        return head
    x = head.input
    for layer in kept:
        x = layer(x)
    return keras.Model(head.input, x, name=head.name)


def accuracy(head: keras.Model, data: Labelled) -> float:
    """Returns the share of examples that a head classifies correctly."""
    return float((predict(head, data.features).argmax(axis=1) == data.labels).mean())


def predict(head: keras.Model, features: np.ndarray) -> np.ndarray:
    """Returns the class probabilities (n, classes) that a head gives for features (n, d)."""
    return head(features, training=False).numpy()
