"""The trials of a search: what each came to, the best of them, and the paper's Table 1."""

import time
from collections.abc import Sequence

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from stemtune.core.records import Record
from stemtune.core.results import Epoch, Training, by_accuracy

OBJECTIVE, TESTED = "validation_accuracy", "test_accuracy"
SPREAD = "spread"


class Trial(BaseModel):
    """One learning rate, tried with each seed: what it came to, or has come to so far.

    Attributes:
        name: "trial 1" for the first that the tuner chose.
        learning_rate: Adam's.
        epochs: The last epoch that it trains for, counted from the first of the trial that it
            continues.
        continues: Name of the trial of Hyperband that it goes on from; "" where it begins anew.
        started: Seconds since 1970.
        seconds: How long it took; None while it goes on.
        by_seed: The epochs that it has trained for itself, of each seed in order.
        kept: The epoch whose weights the head of each seed has, once that is over.
        test_accuracies: On test frames, of each seed, in [0, 1]; none before it is tested.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    learning_rate: float
    epochs: int
    continues: str = ""
    started: float
    seconds: float | None = None
    by_seed: tuple[tuple[Epoch, ...], ...]
    kept: tuple[int, ...] = ()
    test_accuracies: tuple[float, ...] = ()

    @property
    def history(self) -> list[Epoch]:
        """The epochs that all seeds have been trained for: means over seeds, times together."""
        return [_mean(epochs) for epochs in zip(*self.by_seed, strict=False)]

    @property
    def metrics(self) -> dict[str, float]:
        """Of the epochs kept, as means over seeds; of accuracies, standard deviations as well.

        None before it is over. A metric that a seed lacks, as its training diverged, is left out.
        """
        if self.seconds is None:
            return {}
        kept = self._kept_epochs
        found = _mean(kept).metrics
        if OBJECTIVE in found:
            found |= over_seeds(OBJECTIVE, [epoch.metrics[OBJECTIVE] for epoch in kept])
        return found | (over_seeds(TESTED, self.test_accuracies) if self.test_accuracies else {})

    @property
    def diverged(self) -> bool:
        """Whether the loss of a seed's kept epoch is not finite; of a trial that is over."""
        return any("validation_loss" not in epoch.metrics for epoch in self._kept_epochs)

    @property
    def _kept_epochs(self) -> list[Epoch]:
        return [
            next(epoch for epoch in epochs if epoch.epoch == number)
            for epochs, number in zip(self.by_seed, self.kept, strict=True)
        ]

    def with_epoch(self, seed: int, epoch: Epoch) -> "Trial":
        """Returns the trial with one more epoch of a seed, which is named by its place."""
        by_seed = [*self.by_seed]
        by_seed[seed] = (*by_seed[seed], epoch)
        return self.model_copy(update={"by_seed": tuple(by_seed)})

    def over(self, trained: Sequence[Training]) -> "Trial":
        """Returns the trial as over, with the training of each seed.

        It ends now, or with its last epoch if that is over for longer: it was kept.
        """
        epochs = [epoch for each in trained for epoch in each.epochs]
        started, over = self.started, time.time()
        if (begun := min(epoch.time - epoch.seconds for epoch in epochs)) < started:
            started, over = begun, max(epoch.time for epoch in epochs)
        return self.model_copy(
            update={
                "started": started,
                "seconds": over - started,
                "by_seed": tuple(tuple(each.epochs) for each in trained),
                "kept": tuple(each.kept for each in trained),
            }
        )

    def tested(self, accuracies: Sequence[float]) -> "Trial":
        """Returns the trial with the accuracies of its heads on test frames, of each seed."""
        return self.model_copy(update={"test_accuracies": tuple(accuracies)})


def over_seeds(name: str, values: Sequence[float]) -> dict[str, float]:
    """Returns the mean of a metric over seeds and, of more than one, its standard deviation."""
    mean = {name: float(np.mean(values))}
    if len(values) == 1:
        return mean
    return mean | {f"{name}_{SPREAD}": float(np.std(values, ddof=1))}


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
    names = [OBJECTIVE, f"{OBJECTIVE}_{SPREAD}", TESTED, f"{TESTED}_{SPREAD}"]
    rows = []
    for trial in trials:
        metrics = trial.metrics
        rows.append(
            {
                "trial": trial.name,
                "epochs": trial.epochs,
                "learning_rate": trial.learning_rate,
                **{name: metrics.get(name) for name in names},
                "continues": trial.continues,
            }
        )
    return pd.DataFrame(rows)


def record_of(trial: Trial) -> Record:
    """Returns the record of a trial as it stands, for a stage's record to show."""
    params = {"learning_rate": trial.learning_rate, "epochs": trial.epochs}
    return Record(
        name=trial.name,
        status="running" if trial.seconds is None else "finished",
        started=trial.started,
        seconds=trial.seconds or 0.0,
        params=params | ({"continues": trial.continues} if trial.continues else {}),
        metrics=trial.metrics,
        epochs=trial.history,
    )


def _mean(epochs: Sequence[Epoch]) -> Epoch:
    return Epoch(
        epoch=epochs[0].epoch,
        time=epochs[-1].time,
        seconds=sum(epoch.seconds for epoch in epochs),
        metrics={
            name: float(np.mean([epoch.metrics[name] for epoch in epochs]))
            for name in epochs[0].metrics
            if all(name in epoch.metrics for epoch in epochs)
        },
    )
