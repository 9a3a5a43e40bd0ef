"""The search for Adam's learning rate, by Keras Tuner on cached features."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from stemtune import files, heads
from stemtune.dataset import Splits
from stemtune.params import TuneLr
from stemtune.records import Record

OBJECTIVE = "validation_accuracy"


class _NotedTrials(keras_tuner.Tuner):
    """Runs a trial on features, and keeps its record and head for after the search.

    A trial is judged by its last epoch, for that is the head that training at its rate gives; Keras
    Tuner's own choice, the best epoch, would need another epoch count to be reproduced.
    """

    def run_trial(self, trial: Any, data: Splits, params: TuneLr) -> dict[str, float]:
        head = self.hypermodel.build(trial.hyperparameters)
        values = dict(trial.hyperparameters.values)
        number = int(trial.trial_id) + 1
        record = Record.start(f"trial {number}", values)
        title = f"tune_lr: trial {number}, learning rate {values['learning_rate']:g}"
        record.epochs = heads.train(
            head, values["learning_rate"], data, params.epochs, params.batch_size, title
        )
        record.metrics = dict(record.epochs[-1].metrics)
        record.finish()
        head.save(self._head_path(trial.trial_id))
        files.write_json(self._record_path(trial.trial_id), record.model_dump())
        return {OBJECTIVE: record.metrics[OBJECTIVE]}

    def results(self) -> list[tuple[Record, keras.Model]]:
        """Returns the record and the trained head of each trial, in order."""
        return [
            (
                Record.model_validate(files.read_json(self._record_path(trial_id))),
                keras.models.load_model(self._head_path(trial_id)),
            )
            for trial_id in sorted(self.oracle.trials, key=int)
        ]

    def _record_path(self, trial_id: str) -> Path:
        return Path(self.get_trial_dir(trial_id)) / "record.json"

    def _head_path(self, trial_id: str) -> Path:
        return Path(self.get_trial_dir(trial_id)) / "head.keras"


class _Bayesian(_NotedTrials, keras_tuner.BayesianOptimization):
    pass


class _Random(_NotedTrials, keras_tuner.RandomSearch):
    pass


class _Grid(_NotedTrials, keras_tuner.GridSearch):
    pass


TUNERS = {"bayesian": _Bayesian, "random": _Random, "grid": _Grid}


def search(
    data: Splits,
    classes: int,
    params: TuneLr,
    seed: int,
    folder: Path,
) -> list[tuple[Record, keras.Model]]:
    """Trains a head at each learning rate.

    A search that was cut off goes on where it stopped: finished trials are not run again. Its
    folder is named after all that decides its outcome, and deleted by `clear`.

    Args:
        data: Features and labels; test is left alone.
        classes: Number of classes.
        params: Tuner, rates, epochs, batch size.
        seed: Of every trial's start and order of examples, and of the tuner's draws; not 0.
        folder: For the tuner's state.

    Returns:
        Record and trained head of each trial, in the order that the tuner chose.

    Raises:
        RuntimeError: The tuner did not try each rate exactly once.
    """

    def build_model(hp: keras_tuner.HyperParameters) -> keras.Model:
        hp.Choice("learning_rate", params.learning_rates)
        return heads.new(data.train.features.shape[1], classes, seed)

    settings: dict[str, Any] = {
        "objective": keras_tuner.Objective(OBJECTIVE, "max"),
        "max_trials": len(params.learning_rates),
        "seed": seed,
        "directory": folder,
        "project_name": files.key(
            params, seed, *(part.tobytes() for part in (*data.train, *data.validation))
        ),
    }
    if params.tuner == "bayesian":
        # Only the random phase rules repeats out; the model-based one may try a rate twice.
        settings["num_initial_points"] = len(params.learning_rates)
    tuner = TUNERS[params.tuner](build_model, **settings)
    tuner.oracle.verbose = 0
    tuner.search(data, params)
    results = tuner.results()
    tried = sorted(record.params["learning_rate"] for record, _ in results)
    if tried != sorted(params.learning_rates):
        raise RuntimeError(
            f"the {params.tuner} tuner tried {tried}, not each of "
            f"{sorted(params.learning_rates)} once; choose tune_lr.tuner: grid, or another "
            "runtime.seed"
        )
    return results


def best(records: Sequence[Record]) -> Record:
    """Returns the best trial: by validation accuracy, then validation loss, then the lower rate."""
    return min(
        records,
        key=lambda record: (
            -record.metrics["validation_accuracy"],
            record.metrics["validation_loss"],
            record.params["learning_rate"],
        ),
    )


def clear(folder: Path) -> None:
    """Deletes the state of searches, which only one that was cut off needs."""
    shutil.rmtree(folder, ignore_errors=True)
