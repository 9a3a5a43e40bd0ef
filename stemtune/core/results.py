"""The outcome of a training, and which of several is better."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel, ConfigDict


class Epoch(BaseModel):
    """Metrics at the end of one epoch (from 1) and the time then, seconds since 1970.

    A metric that is not finite is left out, and the loss of a training that diverged.
    """

    model_config = ConfigDict(frozen=True)

    epoch: int
    time: float
    seconds: float
    metrics: dict[str, float]


@dataclass(frozen=True)
class Training:
    """A training that is over.

    Attributes:
        epochs: In order; at least one.
        kept: The epoch whose weights it left.
    """

    epochs: Sequence[Epoch]
    kept: int

    @property
    def metrics(self) -> Mapping[str, float]:
        """Of the epoch whose weights it left."""
        return next(epoch.metrics for epoch in self.epochs if epoch.epoch == self.kept)


class Validated(Protocol):
    """Anything trained at a learning rate whose metrics have validation accuracy and loss."""

    @property
    def learning_rate(self) -> float: ...

    @property
    def metrics(self) -> Mapping[str, float]: ...


def by_accuracy(trained: Validated) -> tuple[bool, float, float, float]:
    """Returns a key that sorts trained models, the best on validation first.

    By accuracy, as the paper's search has it, then loss, then the lower learning rate. A training
    that diverged comes last.
    """
    diverged, loss, accuracy = _validation(trained)
    return diverged, -accuracy, loss, trained.learning_rate


def by_loss(trained: Validated) -> tuple[bool, float, float, float]:
    """Returns a key that sorts trained models, the best on validation first.

    By loss, then accuracy, then the lower learning rate. If many trainings are compared on few
    frames, the highest accuracy is often luck, or that of an overconfident model; the
    loss weighs each frame by how wrong its answer is. A training that diverged comes last.
    """
    diverged, loss, accuracy = _validation(trained)
    return diverged, loss, -accuracy, trained.learning_rate


def has_diverged(trained: Validated) -> bool:
    """Returns whether loss or weights are not finite: the metrics have no validation loss then."""
    return "validation_loss" not in trained.metrics


def _validation(trained: Validated) -> tuple[bool, float, float]:
    loss = trained.metrics.get("validation_loss", math.inf)
    return has_diverged(trained), loss, trained.metrics.get("validation_accuracy", 0.0)
