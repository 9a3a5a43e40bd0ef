"""The trials of a search: what each came to, the best of them, and the paper's Table 1."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stemtune.core.paths import TRIALS
from stemtune.core.records import Record
from stemtune.core.results import Epoch, Training, by_accuracy, has_diverged

# On the terminal.
SHOWN = 8
OBJECTIVE, TESTED = "validation_accuracy", "test_accuracy"


@dataclass(frozen=True)
class Trial:
    """One learning rate, tried with each seed.

    Attributes:
        name: "trial 1" for the first that the tuner chose.
        learning_rate: Adam's.
        epochs: The last epoch, counted from the first of the trial that it continues.
        trainings: Of each seed.
        test_accuracies: On test frames, of each seed, in [0, 1].
        continues: Name of the trial of Hyperband that it goes on from; "" where it begins anew.
    """

    name: str
    learning_rate: float
    epochs: int
    trainings: Sequence[Training]
    test_accuracies: Sequence[float] = ()
    continues: str = ""

    @property
    def history(self) -> list[Epoch]:
        """Its epochs, as means over seeds."""
        by_seed = (each.epochs for each in self.trainings)
        return [mean(epochs) for epochs in zip(*by_seed, strict=True)]

    @property
    def metrics(self) -> dict[str, float]:
        """Of the last epoch, as means over seeds; of accuracies, standard deviations as well.

        A metric that a seed lacks, as its training diverged, is left out.
        """
        last = [each.metrics for each in self.trainings]
        found = _means(last)
        accuracies = {OBJECTIVE: [each[OBJECTIVE] for each in last], TESTED: self.test_accuracies}
        for name, values in accuracies.items():
            if values:
                found[name] = float(np.mean(values))
            if len(values) > 1:
                found[f"{name}_spread"] = float(np.std(values, ddof=1))
        return found

    @property
    def diverged(self) -> bool:
        """Whether the training with one of the seeds diverged."""
        return has_diverged(self)

    def finish(self, record: Record) -> None:
        """Completes its record, which ends with its last epoch.

        It begins with its first one if that was trained before, and kept.
        """
        epochs = [epoch for each in self.trainings for epoch in each.epochs]
        record.started = min(record.started, *(epoch.time - epoch.seconds for epoch in epochs))
        record.seconds = max(epoch.time for epoch in epochs) - record.started
        record.epochs, record.metrics, record.status = self.history, self.metrics, "finished"


def mean(epochs: Sequence[Epoch]) -> Epoch:
    """Returns an epoch's means over seeds, and its seconds in sum."""
    return Epoch(
        epoch=epochs[0].epoch,
        time=epochs[-1].time,
        seconds=sum(epoch.seconds for epoch in epochs),
        metrics=_means([epoch.metrics for epoch in epochs]),
    )


def best(trials: Sequence[Trial]) -> Trial:
    """Returns the best, on validation, of the trials that were trained for the most epochs.

    A trial that diverged comes after all others.
    """
    return min(trials, key=lambda trial: (trial.diverged, -trial.epochs, *by_accuracy(trial)))


def table(trials: Sequence[Trial]) -> pd.DataFrame:
    """Returns the paper's Table 1, a row per trial, less the times, which differ from run to run.

    Columns: trial; epochs; learning_rate; validation_accuracy and test_accuracy, means over seeds
    in [0, 1]; validation_accuracy_spread and test_accuracy_spread, standard deviations over seeds,
    empty for one seed; continues, the trial that a trial of Hyperband goes on from.
    """
    columns = [OBJECTIVE, f"{OBJECTIVE}_spread", TESTED, f"{TESTED}_spread"]
    return pd.DataFrame(
        {
            "trial": trial.name,
            "epochs": trial.epochs,
            "learning_rate": trial.learning_rate,
            **{column: trial.metrics.get(column) for column in columns},
            "continues": trial.continues,
        }
        for trial in trials
    )


def lines(trials: Sequence[Trial]) -> list[str]:
    """Returns the learning rates with their validation accuracies in per cent, for the terminal.

    Of many trials those with the highest accuracies.
    """
    chosen, seeds = best(trials), len(trials[0].trainings)
    ranked = sorted(trials, key=lambda trial: (trial is not chosen, *by_accuracy(trial)))[:SHOWN]
    over = f", {seeds} seeds" if seeds > 1 else ""
    found = [f"{'rate':9}validation accuracy{over}"]
    for trial in sorted(ranked, key=lambda trial: (-trial.learning_rate, trial.name)):
        mean = trial.metrics.get(OBJECTIVE)
        spread = trial.metrics.get(f"{OBJECTIVE}_spread")
        said = "diverged" if trial.diverged or mean is None else f"{100 * mean:.1f}"
        if spread is not None and said != "diverged":
            said += f" ± {100 * spread:.1f}"
        found.append(f"{trial.learning_rate:<9.3g}{said:14}{'chosen' * (trial is chosen)}".rstrip())
    if len(trials) > SHOWN:
        found.append(f"{len(trials) - SHOWN} more trials are in {TRIALS}")
    return found


def _means(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Returns the means of those metrics that all have."""
    return {
        name: float(np.mean([each[name] for each in metrics]))
        for name in metrics[0]
        if all(name in each for each in metrics)
    }
