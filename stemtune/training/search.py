"""The search for Adam's learning rate, by Keras Tuner on features."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import keras_tuner
import numpy as np

from stemtune.core import files
from stemtune.core.settings.running import Runtime
from stemtune.core.settings.training import Head, RateRange, TuneLr
from stemtune.engine.engine import Engine
from stemtune.training import oracles, trial_training
from stemtune.training.dataset import Load, Splits
from stemtune.training.trial_training import Search, TrialAhead, TrialTrainer
from stemtune.training.trials import OBJECTIVE, Trial


class TrainedTrial(NamedTuple):
    """A trial that is over, and the heads that it trained, in the order of its seeds."""

    trial: Trial
    heads: list[keras.Model]


class Elsewhere(NamedTuple):
    """Where trials may run side by side, and what loads their data there."""

    engine: Engine
    load: Load


class _Tuner(keras_tuner.Tuner):
    """Runs a trial once per seed, and notes what it came to.

    A trial is judged by its last epoch, for that is the head that training at its rate gives; Keras
    Tuner's own choice, the best epoch, would need another epoch count to be reproduced.
    """

    def __init__(
        self, search: Search, data: Splits, on_progress: Callable[[Trial], None], **settings: Any
    ) -> None:
        self._search, self._on_progress = search, on_progress
        self._trainer = TrialTrainer(search, data)
        self.trials: list[Trial] = []
        super().__init__(**settings)

    def run_trial(self, proposed: Any) -> dict[str, float]:
        """Returns the objective of a trial, from what is kept of it if it was run before."""
        values, search = proposed.hyperparameters.values, self._search
        begun = values.get("tuner/trial_id")
        trial = search.begin(
            _name(proposed.trial_id),
            values["learning_rate"],
            values.get("tuner/epochs", search.params.epochs),
            _name(begun) if begun else "",
        )
        if kept := search.kept(trial):
            print(f"{search.title}: {kept.name} was finished before, kept", flush=True)
            trial = kept
        else:
            first = values.get("tuner/initial_epoch", 0)
            continued = next((one for one in self.trials if one.name == trial.continues), None)
            trial = self._trainer.train(trial, self._on_progress, first, continued)
        self.trials.append(trial)
        self._on_progress(trial)
        return {OBJECTIVE: trial.metrics[OBJECTIVE]}


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
    elsewhere: Elsewhere | None = None,
) -> list[TrainedTrial]:
    """Trains heads at learning rates that Keras Tuner chooses.

    With a list, bayesian, random and grid try each rate once; with a range, bayesian and random try
    `max_trials` rates. Hyperband's brackets begin no rate of a list twice. A trial that goes on
    takes over weights and Adam's moments.

    A search that was cut off goes on where it stopped: its tuner is led through the finished
    trials, which are not trained again, and so comes to the same choices. Their folder is named
    after all that decides the outcome, and deleted by `clear`. Keras Tuner's own state is not
    read: a cut leaves it half-written, and Bayesian optimization forgets its random state.

    Where an engine spreads work, and features are computed anew, the rates of a list run on it side
    by side before the tuner chooses, which then is led through them as well.

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
        elsewhere: Where trials may run side by side; None: they run here.

    Returns:
        The trials, in the order that the tuner chose.

    Raises:
        RuntimeError: The tuner did not cover its space.
        keras_tuner.errors.FatalError: A trial could not be trained.
    """
    inputs = files.digest(*data.train, *data.validation, *(start or []))
    own = folder / files.key(params, head, runtime, keep_best, data.views, inputs)
    shared = Search(own, title, classes, params, head, keep_best, start)
    # On cached features a trial takes seconds, less than another process to start.
    if elsewhere and elsewhere.engine.spreads and data.live:
        _run_ahead(shared, elsewhere)
    return [
        TrainedTrial(trial, [shared.kept_head(trial, seed) for seed in params.seeds])
        for trial in _run(shared, data, runtime.seed, on_progress)
    ]


def _run(
    search: Search, data: Splits, seed: int, on_progress: Callable[[Trial], None]
) -> list[Trial]:
    """Runs the trials that the tuner chooses, and returns them in its order."""
    tuner = _Tuner(
        search,
        data,
        on_progress,
        oracle=oracles.build(search.params, seed),
        directory=search.folder,
        project_name="tuner",
        overwrite=True,
    )
    tuner.search()
    _require_coverage(tuner.trials, search.params)
    return tuner.trials


def _run_ahead(search: Search, elsewhere: Elsewhere) -> None:
    """Runs the rates of a list side by side, if each is tried whatever comes of the others."""
    rates = search.params.learning_rates
    if search.params.tuner == "hyperband" or isinstance(rates, RateRange) or len(rates) == 1:
        return
    print(f"{search.title}: {len(rates)} learning rates run side by side", flush=True)
    ahead = [TrialAhead(search, elsewhere.load, rate) for rate in rates]
    for _ in elsewhere.engine.map(trial_training.train_ahead, ahead):
        pass


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
