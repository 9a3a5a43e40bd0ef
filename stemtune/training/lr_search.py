"""The paper's Table 1: Keras Tuner searches Adam's learning rate for the head, on features."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from stemtune.core.results import Epoch
from stemtune.core.settings.training import Head, RateRange, TuneLr
from stemtune.engine.engine import Engine
from stemtune.training import heads, oracles
from stemtune.training.dataset import Load, Splits
from stemtune.training.heads import HeadPlan
from stemtune.training.kept import Kept, Trained
from stemtune.training.trials import OBJECTIVE, Trial

TITLE = "tune_lr"


class LearningRateSearch(keras_tuner.Tuner):
    """Trains a head once per seed at each learning rate that Keras Tuner proposes.

    With a list, bayesian, random and grid try each rate once; with a range, bayesian and random try
    `max_trials` rates. Hyperband's brackets begin no rate of a list twice. A trial that continues
    takes over weights and Adam's moments.

    A trial is judged by its last epoch, since that is the head that training at its rate gives;
    Keras Tuner's own choice, the best epoch, would need another epoch count to be reproduced. A
    trial that diverged ranks last.

    Keras Tuner's own state is not read again: a kill leaves it half-written, and Bayesian
    optimization forgets its random state.
    """

    def __init__(
        self,
        data: Splits,
        classes: int,
        params: TuneLr,
        head: Head,
        seed: int,
        kept: Kept,
        on_progress: Callable[[Trial], None] = lambda trial: None,
    ) -> None:
        """Prepares a search; `search` runs it.

        Args:
            data: Features and labels; test is left alone.
            classes: Number of classes.
            params: Tuner, rates, seeds, epochs, batch size.
            head: The layers that are trained.
            seed: Of the tuner's draws; not 0.
            kept: Trainings that a killed search finished; used if features are computed live.
            on_progress: Receives each trial as it begins, after an epoch of all seeds, and at its
                end.
        """
        self._data, self._classes, self._params, self._head = data, classes, params, head
        self._kept, self._on_progress = kept, on_progress
        self.trials: list[Trial] = []
        self._trained: dict[str, list[Trained]] = {}
        super().__init__(
            oracle=oracles.build(params, seed),
            directory=Path(kept.folder),
            project_name="tuner",
            overwrite=True,
        )

    def run_trial(self, proposed: Any) -> dict[str, float]:
        """Returns the objective of a trial, after training a head with each seed.

        Raises:
            keras_tuner.errors.FatalError: A head could not be trained.
        """
        values, params = proposed.hyperparameters.values, self._params
        begun = values.get("tuner/trial_id")
        trial = Trial(
            name=_name(proposed.trial_id),
            learning_rate=values["learning_rate"],
            epochs=values.get("tuner/epochs", params.epochs),
            continues=_name(begun) if begun else "",
            started=time.time(),
            by_seed=((),) * len(params.seeds),
        )
        self._on_progress(trial)
        before = self._trained.get(trial.continues, [None] * len(params.seeds))
        trained: list[Trained] = []
        try:
            for number, seed in enumerate(params.seeds):

                def seen(epoch: Epoch, number: int = number) -> None:
                    nonlocal trial
                    trial = trial.with_epoch(number, epoch)
                    # Means over seeds are known with the last one alone.
                    if number == len(params.seeds) - 1:
                        self._on_progress(trial)

                plan = self._plan(trial, seed, before[number])
                trained.append(heads.train(plan, self._data, TITLE, on_epoch=seen, kept=self._kept))
        except Exception as error:
            # Of any other error Keras Tuner makes a failed trial, and continues.
            raise keras_tuner.errors.FatalError(
                f"{trial.name}, learning rate {trial.learning_rate:g}: {error}"
            ) from error
        trial = trial.over([each.training for each in trained])
        self.trials.append(trial)
        self._trained[trial.name] = trained
        self._on_progress(trial)
        return {OBJECTIVE: 0.0 if trial.diverged else trial.metrics[OBJECTIVE]}

    def run_ahead(self, engine: Engine, load: Load) -> None:
        """Trains the rates of a list side by side, if the engine spreads and features are live.

        The search then finds them among the kept trainings. On cached features a trial takes
        seconds, less than another process takes to start.

        Args:
            engine: Where they are trained.
            load: Loads the data there.
        """
        rates = self._params.learning_rates
        if isinstance(rates, RateRange) or self._params.tuner == "hyperband" or len(rates) == 1:
            return
        if not engine.spreads or not self._data.live:
            return
        print(f"{TITLE}: {len(rates)} learning rates run side by side", flush=True)
        seeds, epochs = self._params.seeds, self._params.epochs
        ahead = [
            Trial(name="trial ahead", learning_rate=rate, epochs=epochs, started=0, by_seed=())
            for rate in rates
        ]
        plans = [self._plan(trial, seed, None) for trial in ahead for seed in seeds]
        for _ in engine.map_loaded(partial(_trainer, load, self._kept), plans):
            pass

    def heads_of(self, trial: Trial) -> list[keras.Model]:
        """Returns the heads of a trial that is over, in the order of its seeds."""
        return [
            heads.restored(trained, self._plan(trial, seed, None), self._data.features)
            for trained, seed in zip(self._trained[trial.name], self._params.seeds, strict=True)
        ]

    def require_coverage(self) -> None:
        """Raises RuntimeError if the tuner did not cover its space."""
        params, rates = self._params, self._params.learning_rates
        begun = [trial.learning_rate for trial in self.trials if not trial.continues]
        if params.tuner == "hyperband":
            whole = any(trial.epochs == params.epochs for trial in self.trials)
            covered = whole and len(set(begun)) == len(begun)
        elif isinstance(rates, RateRange):
            covered = len(begun) == params.max_trials
        else:
            covered = sorted(begun) == sorted(rates)
        if not covered:
            raise RuntimeError(
                f"the {params.tuner} tuner tried {begun}, which does not cover {rates}; take "
                "another runtime.seed or, for a list of rates, tune_lr.tuner: grid"
            )

    def _plan(self, trial: Trial, seed: int, continues: Trained | None) -> HeadPlan:
        return HeadPlan(
            name=trial.name,
            head=self._head,
            classes=self._classes,
            seed=seed,
            batch_size=self._params.batch_size,
            learning_rate=trial.learning_rate,
            epochs=trial.epochs,
            continues=continues,
        )


def _trainer(load: Load, kept: Kept) -> Callable[[HeadPlan], Trained]:
    return partial(heads.train, data=load(), title=TITLE, kept=kept)


def _name(trial_id: str) -> str:
    return f"trial {int(trial_id) + 1}"
