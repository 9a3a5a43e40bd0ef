"""The search for Adam's learning rate, by Keras Tuner on cached features."""

import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import keras_tuner
import numpy as np
import pandas as pd

from stemtune import files, heads, training
from stemtune.dataset import Splits
from stemtune.params import Head, RateRange, Runtime, TuneLr
from stemtune.records import Epoch, Record, preference

OBJECTIVE = "validation_accuracy"
SPREAD = "spread"
ORACLES = {
    "grid": keras_tuner.oracles.GridSearchOracle,
    "random": keras_tuner.oracles.RandomSearchOracle,
}


class Trial(NamedTuple):
    """A finished trial: its record, and a trained head for each seed."""

    record: Record
    heads: list[keras.Model]


class _HyperbandOracle(keras_tuner.oracles.HyperbandOracle):
    """Hyperband (Li et al., 2018) with brackets no wider than a list of rates is long.

    Keras Tuner's own ends the search where a bracket asks for a fifth rate of four.
    """

    def __init__(self, rates: int | None, **settings: Any) -> None:
        self._rates = rates
        super().__init__(**settings)

    def _get_size(self, bracket_num: int, round_num: int) -> int:
        size = super()._get_size(bracket_num, round_num)
        if self._rates is None:
            return size
        return min(size, math.ceil(self._rates / self.factor**round_num))


class _Tuner(keras_tuner.Tuner):
    """Runs a trial once per seed, and keeps its record and heads.

    A trial is judged by its last epoch, for that is the head that training at its rate gives; Keras
    Tuner's own choice, the best epoch, would need another epoch count to be reproduced.
    """

    def __init__(
        self,
        finished: Path,
        new_head: Callable[[int], keras.Model],
        new_trainer: Callable[[keras.Model], training.Trainer],
        **settings: Any,
    ) -> None:
        self._finished, self._new_head = finished, new_head
        # One for all trials, as each that is compiled costs more time than its epochs.
        self._head = new_head(0)
        self._trainer = new_trainer(self._head)
        self._head.compile(self._trainer.optimizer)
        super().__init__(**settings)

    def run_trial(
        self, trial: Any, data: Splits, params: TuneLr, whole: Record
    ) -> dict[str, float]:
        """Returns the objective of a trial, from the search that was cut off if it is there."""
        values = trial.hyperparameters.values
        settings = {
            "learning_rate": values["learning_rate"],
            "epochs": values.get("tuner/epochs", params.epochs),
        }
        if begun := values.get("tuner/trial_id"):
            settings["continues"] = _name(begun)
        path = self._folder(trial.trial_id) / "record.json"
        if path.exists():
            record = Record.model_validate(files.read_json(path))
            if record.params == settings:
                print(f"tune_lr: {record.name} was finished before, kept", flush=True)
                whole.parts.append(record)
                whole.announce()
                return {OBJECTIVE: record.metrics[OBJECTIVE]}
        record = whole.part(_name(trial.trial_id), settings)
        try:
            self._train(trial, record, data, params)
            record.finish()
            files.write_json(path, record.model_dump())
        except Exception as error:
            # Of any other error Keras Tuner makes a failed trial, and goes on.
            raise keras_tuner.errors.FatalError(f"{record.name} {settings}: {error}") from error
        return {OBJECTIVE: record.metrics[OBJECTIVE]}

    def _train(self, trial: Any, record: Record, data: Splits, params: TuneLr) -> None:
        values = trial.hyperparameters.values
        rate = values["learning_rate"]
        begun, first = values.get("tuner/trial_id"), values.get("tuner/initial_epoch", 0)
        by_seed: list[list[Epoch]] = []
        for seed in params.seeds:
            by_seed.append([])

            def seen(epoch: Epoch, last: bool = seed == params.seeds[-1]) -> None:
                by_seed[-1].append(epoch)
                if last:
                    nth = len(by_seed[-1]) - 1
                    record.add(_mean_epoch([epochs[nth] for epochs in by_seed]))

            moments = None
            if begun:
                start = keras.models.load_model(self._head_path(begun, seed))
                moments = [variable.numpy() for variable in start.optimizer.variables]
                # Or the epochs to come would repeat the order of those before.
                keras.utils.set_random_seed(seed + first)
            else:
                start = self._new_head(seed)
            for variable, value in zip(self._head.variables, start.variables, strict=True):
                variable.assign(value)
            heads.train(
                self._head,
                rate,
                data,
                record.params["epochs"],
                params.batch_size,
                f"tune_lr: {record.name}, learning rate {rate:.3g}, seed {seed}",
                seen,
                self._trainer,
                initial_epoch=first,
                moments=moments,
            )
            with files.replacing(self._head_path(trial.trial_id, seed)) as beside:
                self._head.save(beside)
        record.metrics = dict(record.epochs[-1].metrics) | over_seeds(
            OBJECTIVE, [epochs[-1].metrics[OBJECTIVE] for epochs in by_seed]
        )

    def results(self, seeds: Sequence[int], whole: Record) -> list[Trial]:
        """Returns what each trial came to, in order."""
        return [
            Trial(
                record,
                [
                    keras.models.load_model(self._finished / record.name / _head_file(seed))
                    for seed in seeds
                ],
            )
            for record in whole.parts
        ]

    def _folder(self, trial_id: str) -> Path:
        return self._finished / _name(trial_id)

    def _head_path(self, trial_id: str, seed: int) -> Path:
        return self._folder(trial_id) / _head_file(seed)


def search(
    data: Splits,
    classes: int,
    params: TuneLr,
    head: Head,
    runtime: Runtime,
    folder: Path,
    whole: Record,
) -> list[Trial]:
    """Trains heads at learning rates that Keras Tuner chooses.

    With a list, bayesian, random and grid try each rate once; with a range, bayesian and random try
    `max_trials` rates. Hyperband's brackets (for 5 epochs and factor 3: five rates for 2 epochs,
    the best two on to 5, then three for 5 at once) begin no rate of a list twice: of four, all
    begin in the first bracket and two go on, and none is left for the second. A trial that goes
    on takes over weights and Adam's moments.

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
        whole: The stage's record, which gets a part per trial.

    Returns:
        The trials, in the order that the tuner chose.

    Raises:
        RuntimeError: The tuner did not cover its space.
        keras_tuner.errors.FatalError: A trial could not be trained.
    """
    own = folder / files.key(params, head, runtime, files.digest(*data.train, *data.validation))
    oracle = _oracle(params, runtime.seed)
    oracle.verbose = 0
    tuner = _Tuner(
        own,
        lambda seed: heads.new(data.train.features.shape[1], classes, head, seed),
        lambda network: heads.trainer(network, data),
        oracle=oracle,
        directory=own,
        project_name="tuner",
        overwrite=True,
    )
    tuner.search(data, params, whole)
    trials = tuner.results(params.seeds, whole)
    _require_coverage([trial.record for trial in trials], params)
    return trials


def _oracle(params: TuneLr, seed: int) -> keras_tuner.Oracle:
    space, rates = keras_tuner.HyperParameters(), params.learning_rates
    if isinstance(rates, RateRange):
        trials, count = params.max_trials, None
        space.Float("learning_rate", rates.min, rates.max, sampling=rates.sampling)
    else:
        trials = count = len(rates)
        space.Choice("learning_rate", rates)
    objective = keras_tuner.Objective(OBJECTIVE, "max")
    common = {"objective": objective, "seed": seed, "hyperparameters": space}
    if params.tuner == "hyperband":
        oracle = _HyperbandOracle(
            count, max_epochs=params.epochs, factor=params.hyperband_factor, **common
        )
    elif params.tuner == "bayesian":
        # Only the random phase rules repeats out; the model-based one may try a rate twice.
        oracle = keras_tuner.oracles.BayesianOptimizationOracle(
            max_trials=trials, num_initial_points=count, **common
        )
    else:
        oracle = ORACLES[params.tuner](max_trials=trials, **common)
    # Draws in a row that repeat a rate before the space counts as exhausted; with Keras Tuner's 20
    # the last rate of a list is now and then never drawn.
    oracle._max_collisions = 1000
    return oracle


def _require_coverage(records: Sequence[Record], params: TuneLr) -> None:
    begun = [record.params["learning_rate"] for record in records if not continues(record)]
    rates = params.learning_rates
    if params.tuner == "hyperband":
        whole = any(record.params["epochs"] == params.epochs for record in records)
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


def _head_file(seed: int) -> str:
    return f"seed {seed}.keras"


def _mean_epoch(epochs: Sequence[Epoch]) -> Epoch:
    """Returns one epoch of several trainings side by side: their mean, and their time together."""
    return Epoch(
        epoch=epochs[0].epoch,
        time=epochs[-1].time,
        seconds=sum(epoch.seconds for epoch in epochs),
        metrics={
            name: float(np.mean([epoch.metrics[name] for epoch in epochs]))
            for name in epochs[0].metrics
        },
    )


def over_seeds(name: str, values: Sequence[float]) -> dict[str, float]:
    """Returns the mean of a metric over seeds and, of more than one, its standard deviation."""
    mean = {name: float(np.mean(values))}
    if len(values) == 1:
        return mean
    return mean | {f"{name}_{SPREAD}": float(np.std(values, ddof=1))}


def continues(record: Record) -> str:
    """Returns the trial that a trial of Hyperband goes on from; "" when it begins anew."""
    return record.params.get("continues", "")


def best(records: Sequence[Record]) -> Record:
    """Returns the best, on validation, of the trials that were trained for the most epochs."""
    return min(records, key=lambda record: (-record.params["epochs"], *preference(record)))


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Returns the paper's Table 1, a row per trial, less the times, which differ from run to run.

    Columns: trial; epochs; learning_rate; validation_accuracy and test_accuracy, means over seeds
    in [0, 1]; validation_accuracy_spread and test_accuracy_spread, standard deviations over seeds,
    empty for one seed; continues, the trial that a trial of Hyperband goes on from.
    """
    metrics = [OBJECTIVE, f"{OBJECTIVE}_{SPREAD}", "test_accuracy", f"test_accuracy_{SPREAD}"]
    rows = [
        {
            "trial": record.name,
            "epochs": record.params["epochs"],
            "learning_rate": record.params["learning_rate"],
            **{name: record.metrics.get(name) for name in metrics},
            "continues": continues(record),
        }
        for record in records
    ]
    return pd.DataFrame(rows)


def clear(folder: Path) -> None:
    """Deletes what searches keep, which only one that was cut off needs."""
    shutil.rmtree(folder, ignore_errors=True)
