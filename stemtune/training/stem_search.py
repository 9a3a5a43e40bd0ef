"""Keras Tuner searches a stem's learning rate, as the paper's Table 1 does for the head."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np

from stemtune.core.results import by_accuracy, by_loss, has_diverged
from stemtune.core.settings.training import Attempt
from stemtune.training import oracles
from stemtune.training.stems import StemTask, TrainedStem
from stemtune.training.trials import OBJECTIVE

Train = Callable[[Attempt], TrainedStem]


class StemSearch(keras_tuner.Tuner):
    """Trains a stem with each restart at each learning rate of a list.

    As in the paper's Table 1, a rate is judged by validation accuracy: its mean over the restarts,
    for one that works with one start alone is no good rate.

    Attributes:
        tried: All attempts.
    """

    def __init__(self, task: StemTask, attempts: Sequence[Attempt], train: Train) -> None:
        """Prepares a search; `search` runs it.

        Args:
            task: The variant.
            attempts: Each rate with each restart.
            train: Trains a stem.
        """
        self.tried: list[TrainedStem] = []
        self._attempts, self._train = attempts, train
        rates = list(dict.fromkeys(attempt.learning_rate for attempt in attempts))
        super().__init__(
            oracle=oracles.of_list("bayesian", rates, task.settings.runtime.seed),
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
            found = [self._train(attempt) for attempt in wanted]
        except Exception as error:
            # Of any other error Keras Tuner makes a failed trial, and continues.
            raise keras_tuner.errors.FatalError(f"learning rate {rate:g}: {error}") from error
        self.tried += found
        return {OBJECTIVE: mean_accuracy(found)}


def search(task: StemTask, attempts: Sequence[Attempt], train: Train) -> list[TrainedStem]:
    """Returns all attempts, trained; of one rate there is nothing to search.

    Args:
        task: The variant.
        attempts: Each rate with each restart.
        train: Trains a stem.
    """
    if len({attempt.learning_rate for attempt in attempts}) == 1:
        return [train(attempt) for attempt in attempts]
    found = StemSearch(task, attempts, train)
    found.search()
    if len(found.tried) != len(attempts):
        rates = sorted({trained.learning_rate for trained in found.tried})
        raise RuntimeError(f"the search tried {rates} alone; take another runtime.seed")
    return found.tried


def best(tried: Sequence[TrainedStem]) -> TrainedStem:
    """Returns the restart that is best on validation, at the best learning rate.

    The best rate has the highest mean accuracy over its restarts; accuracy decides between these as
    well. By loss, a stem whose answers are near to guessing can be before an alive one whose
    answers are too sure. Where there is one rate, its restarts are compared by loss.
    """
    by_rate: dict[float, list[TrainedStem]] = {}
    for trained in tried:
        by_rate.setdefault(trained.learning_rate, []).append(trained)
    if len(by_rate) == 1:
        return min(tried, key=by_loss)
    firsts = [min(restarts, key=by_accuracy) for restarts in by_rate.values()]
    # Of rates that are equal the best restart decides.
    return min(
        firsts, key=lambda each: (-mean_accuracy(by_rate[each.learning_rate]), by_accuracy(each))
    )


def mean_accuracy(restarts: Sequence[TrainedStem]) -> float:
    """Returns the mean validation accuracy over restarts; 0 if one of them diverged."""
    if any(map(has_diverged, restarts)):
        return 0.0
    return float(np.mean([trained.metrics[OBJECTIVE] for trained in restarts]))
