"""The search for Adam's learning rate, by Keras Tuner on cached features."""

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import keras_tuner
import numpy as np

from stemtune.core import files, typed_json
from stemtune.core.results import Epoch, Training
from stemtune.core.settings.running import Runtime
from stemtune.core.settings.training import Head, RateRange, TuneLr
from stemtune.training import heads, oracles, trainer
from stemtune.training.dataset import Splits
from stemtune.training.trials import OBJECTIVE, Trial


class TrainedTrial(NamedTuple):
    """A trial that is over, and the heads that it trained, in the order of its seeds."""

    trial: Trial
    heads: list[keras.Model]


class _Tuner(keras_tuner.Tuner):
    """Runs a trial once per seed, and keeps what it came to and its heads.

    A trial is judged by its last epoch, for that is the head that training at its rate gives; Keras
    Tuner's own choice, the best epoch, would need another epoch count to be reproduced.
    """

    def __init__(
        self,
        finished: Path,
        title: str,
        on_progress: Callable[[Trial], None],
        new_head: Callable[[int], keras.Model],
        new_trainer: Callable[[keras.Model], trainer.Trainer],
        keep_best: bool,
        **settings: Any,
    ) -> None:
        self._finished, self._title, self._on_progress = finished, title, on_progress
        self._trials: list[Trial] = []
        self._new_head, self._keep_best = new_head, keep_best
        # One for all trials, as each that is compiled costs more time than its epochs.
        self._head = new_head(0)
        self._trainer = new_trainer(self._head)
        self._head.compile(self._trainer.optimizer)
        super().__init__(**settings)

    def run_trial(self, proposed: Any, data: Splits, params: TuneLr) -> dict[str, float]:
        """Returns the objective of a trial, from the search that was cut off if it is there."""
        values = proposed.hyperparameters.values
        begun = values.get("tuner/trial_id")
        trial = Trial(
            name=_name(proposed.trial_id),
            learning_rate=values["learning_rate"],
            epochs=values.get("tuner/epochs", params.epochs),
            continues=_name(begun) if begun else "",
            started=time.time(),
            by_seed=((),) * len(params.seeds),
        )
        trial = self._kept(trial) or self._run(
            trial, data, params, values.get("tuner/initial_epoch", 0)
        )
        self._trials.append(trial)
        self._on_progress(trial)
        return {OBJECTIVE: trial.metrics[OBJECTIVE]}

    def results(self, seeds: Sequence[int]) -> list[TrainedTrial]:
        """Returns what each trial came to, in order."""
        return [
            TrainedTrial(trial, [self._load(trial.name, seed) for seed in seeds])
            for trial in self._trials
        ]

    def _kept(self, trial: Trial) -> Trial | None:
        """Returns what a trial came to in the search that was cut off, if it was over by then."""
        path = self._result_path(trial.name)
        if not path.exists():
            return None
        kept = typed_json.read(path, Trial)
        same = ("learning_rate", "epochs", "continues")
        if any(getattr(kept, name) != getattr(trial, name) for name in same):
            return None
        print(f"{self._title}: {kept.name} was finished before, kept", flush=True)
        return kept

    def _run(self, trial: Trial, data: Splits, params: TuneLr, first: int) -> Trial:
        """Trains heads from epoch `first` on, counted from 0; returns what the trial came to."""
        self._on_progress(trial)
        kept = []
        try:
            for number, seed in enumerate(params.seeds):

                def seen(epoch: Epoch, number: int = number) -> None:
                    nonlocal trial
                    trial = trial.with_epoch(number, epoch)
                    # Means over seeds are known with the last one alone.
                    if number == len(params.seeds) - 1:
                        self._on_progress(trial)

                training = self._train(trial, seed, data, params.batch_size, first, seen)
                kept.append(training.kept)
            trial = trial.over(kept)
            typed_json.write(self._result_path(trial.name), trial)
        except Exception as error:
            # Of any other error Keras Tuner makes a failed trial, and goes on.
            raise keras_tuner.errors.FatalError(
                f"{trial.name}, learning rate {trial.learning_rate:g}: {error}"
            ) from error
        return trial

    def _train(
        self,
        trial: Trial,
        seed: int,
        data: Splits,
        batch_size: int,
        first: int,
        seen: Callable[[Epoch], None],
    ) -> Training:
        moments = None
        if trial.continues:
            start = self._load(trial.continues, seed)
            moments = [variable.numpy() for variable in start.optimizer.variables]
            # Or the epochs to come would repeat the order of those before.
            keras.utils.set_random_seed(seed + first)
        else:
            start = self._new_head(seed)
        for variable, value in zip(self._head.variables, start.variables, strict=True):
            variable.assign(value)
        rate = trial.learning_rate
        training = heads.train(
            self._head,
            rate,
            data,
            trial.epochs,
            batch_size,
            f"{self._title}: {trial.name}, learning rate {rate:.3g}, seed {seed}",
            seen,
            self._trainer,
            initial_epoch=first,
            moments=moments,
            keep_best=self._keep_best,
        )
        with files.replacing(self._head_path(trial.name, seed)) as beside:
            self._head.save(beside)
        return training

    def _load(self, trial: str, seed: int) -> keras.Model:
        return keras.models.load_model(self._head_path(trial, seed))

    def _result_path(self, trial: str) -> Path:
        return self._finished / trial / "trial.json"

    def _head_path(self, trial: str, seed: int) -> Path:
        return self._finished / trial / f"seed {seed}.keras"


def search(
    data: Splits,
    classes: int,
    params: TuneLr,
    head: Head,
    runtime: Runtime,
    folder: Path,
    title: str,
    on_progress: Callable[[Trial], None] = lambda trial: None,
    keep_best: bool = False,
    start: Sequence[np.ndarray] | None = None,
) -> list[TrainedTrial]:
    """Trains heads at learning rates that Keras Tuner chooses.

    With a list, bayesian, random and grid try each rate once; with a range, bayesian and random try
    `max_trials` rates. Hyperband's brackets begin no rate of a list twice. A trial that goes on
    takes over weights and Adam's moments.

    A search that was cut off goes on where it stopped: its tuner is led through the finished
    trials, which are not trained again, and so comes to the same choices. Their folder is named
    after all that decides the outcome, and deleted by `clear`. Keras Tuner's own state is not
    read: a cut leaves it half-written, and Bayesian optimization forgets its random state.

    Args:
        data: Features and labels; test is left alone.
        classes: Number of classes.
        params: Tuner, rates, seeds, epochs, batch size.
        head: What is trained.
        runtime: Its seed is that of the tuner's draws; not 0.
        folder: For the trials.
        title: Of the search, for the terminal.
        on_progress: Is given each trial as it begins, after an epoch of all seeds, and at its end.
        keep_best: Whether a head is that of the epoch which validates best, not of the last.
        start: Weights that heads start from; None: random ones.

    Returns:
        The trials, in the order that the tuner chose.

    Raises:
        RuntimeError: The tuner did not cover its space.
        keras_tuner.errors.FatalError: A trial could not be trained.
    """
    inputs = files.digest(*data.train, *data.validation, *(start or []))
    own = folder / files.key(params, head, runtime, keep_best, inputs)
    tuner = _Tuner(
        own,
        title,
        on_progress,
        lambda seed: _new_head(data.train.features.shape[1], classes, head, seed, start),
        lambda network: heads.compiled_trainer(network, data),
        keep_best,
        oracle=oracles.build(params, runtime.seed),
        directory=own,
        project_name="tuner",
        overwrite=True,
    )
    tuner.search(data, params)
    found = tuner.results(params.seeds)
    _require_coverage([trial for trial, _ in found], params)
    return found


def _new_head(
    features: int, classes: int, params: Head, seed: int, start: Sequence[np.ndarray] | None
) -> keras.Model:
    head = heads.build(features, classes, params, seed)
    if start is not None:
        head.set_weights(start)
    return head


def clear(folder: Path) -> None:
    """Deletes what searches keep, which only one that was cut off needs."""
    shutil.rmtree(folder, ignore_errors=True)


def _require_coverage(trials: Sequence[Trial], params: TuneLr) -> None:
    begun = [trial.learning_rate for trial in trials if not trial.continues]
    rates = params.learning_rates
    if params.tuner == "hyperband":
        whole = any(trial.epochs == params.epochs for trial in trials)
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


def _name(trial_id: str) -> str:
    return f"trial {int(trial_id) + 1}"
