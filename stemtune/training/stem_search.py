"""Keras Tuner searches a stem's learning rate, as the paper's Table 1 does for the head."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras_tuner

from stemtune.core.results import by_loss
from stemtune.core.settings.training import Attempt
from stemtune.training import oracles
from stemtune.training.stems import StemTask, TrainedStem

OBJECTIVE = "validation_loss"
# Of a rate at which a training diverged: Keras Tuner takes finite numbers.
WORST = 1e9
TrainAll = Callable[[Sequence[Attempt]], Sequence[TrainedStem]]


class StemSearch(keras_tuner.Tuner):
    """Trains a stem with each restart at each learning rate of a list.

    A rate is judged by the mean validation loss over its restarts: one that works with one start
    alone is no good rate.

    Attributes:
        tried: All attempts.
    """

    def __init__(self, task: StemTask, attempts: Sequence[Attempt], train: TrainAll) -> None:
        """Prepares a search; `search` runs it.

        Args:
            task: The variant.
            attempts: Each rate with each restart.
            train: Trains several attempts, here or elsewhere.
        """
        self.tried: list[TrainedStem] = []
        self._attempts, self._train = attempts, train
        rates = list(dict.fromkeys(attempt.learning_rate for attempt in attempts))
        super().__init__(
            oracle=oracles.of_list("bayesian", rates, OBJECTIVE, "min", task.settings.runtime.seed),
            directory=Path(task.kept.folder),
            project_name="tuner",
            overwrite=True,
        )

    def run_trial(self, proposed: Any) -> dict[str, float]:
        """Returns the objective of a rate, after training a stem with each restart.

        Raises:
            keras_tuner.errors.FatalError: A stem could not be trained.
        """
        rate = proposed.hyperparameters.values["learning_rate"]
        wanted = [attempt for attempt in self._attempts if attempt.learning_rate == rate]
        try:
            found = self._train(wanted)
        except Exception as error:
            # Of any other error Keras Tuner makes a failed trial, and continues.
            raise keras_tuner.errors.FatalError(f"learning rate {rate:g}: {error}") from error
        self.tried += found
        return {OBJECTIVE: mean_loss(found)}


def search(task: StemTask, attempts: Sequence[Attempt], train: TrainAll) -> list[TrainedStem]:
    """Returns all attempts, trained; of one rate there is nothing to search.

    Args:
        task: The variant.
        attempts: Each rate with each restart.
        train: Trains several attempts.
    """
    if len({attempt.learning_rate for attempt in attempts}) == 1:
        return list(train(attempts))
    found = StemSearch(task, attempts, train)
    found.search()
    if len(found.tried) != len(attempts):
        rates = sorted({trained.learning_rate for trained in found.tried})
        raise RuntimeError(f"the search tried {rates} alone; take another runtime.seed")
    return found.tried


def best(tried: Sequence[TrainedStem]) -> TrainedStem:
    """Returns the restart with the lowest validation loss at the best learning rate.

    The best rate has the lowest mean loss over its restarts.
    """
    by_rate: dict[float, list[TrainedStem]] = {}
    for trained in tried:
        by_rate.setdefault(trained.learning_rate, []).append(trained)
    rate = min(by_rate, key=lambda rate: mean_loss(by_rate[rate]))
    return min(by_rate[rate], key=by_loss)


def mean_loss(restarts: Sequence[TrainedStem]) -> float:
    """Returns the mean validation loss over restarts; `WORST` if one of them diverged."""
    losses = [trained.metrics.get(OBJECTIVE, math.inf) for trained in restarts]
    return min(sum(losses) / len(losses), WORST)
