"""The paper's Table 1: Keras Tuner searches Adam's learning rate for the head, on features."""

from functools import partial
from pathlib import Path
from typing import Any

import keras_tuner

from stemtune.core.params import Params
from stemtune.core.records import Record
from stemtune.core.results import Epoch
from stemtune.core.settings.training import RateRange
from stemtune.engine.engine import Engine
from stemtune.training import elsewhere, heads, oracles, trials
from stemtune.training.dataset import Load, Splits
from stemtune.training.heads import HeadPlan, TrainedHead
from stemtune.training.kept import Kept
from stemtune.training.progress import Tell, nobody
from stemtune.training.trials import OBJECTIVE, Trial

TITLE = "tune_lr"


class LearningRateSearch(keras_tuner.Tuner):
    """Trains a head once per seed at each learning rate that Keras Tuner proposes.

    A trial is judged by its last epoch, since that is the head that training at its rate gives;
    Keras Tuner's own choice, the best epoch, would need another epoch count to be reproduced. A
    trial that diverged ranks last. One that continues takes over weights and Adam's moments.

    Keras Tuner's own state is not read again: a kill leaves it half-written, and Bayesian
    optimization forgets its random state.

    Attributes:
        trials: Those that are over.
    """

    def __init__(
        self,
        settings: Params,
        data: Splits,
        classes: int,
        kept: Kept,
        tell: Tell = nobody,
    ) -> None:
        """Prepares a search; `search` runs it.

        Args:
            settings: The content of params.yaml; `tune_lr` and `train_best.head` have the search.
            data: Features and labels; test judges each trained head, and decides nothing.
            classes: Number of classes.
            kept: Trainings that a killed search finished; used if features are computed live.
            tell: Shows the record of each trial, which grows with each epoch of the last seed.
        """
        self._data, self._classes, self._params = data, classes, settings.tune_lr
        self._head, self._kept, self._tell = settings.train_best.head, kept, tell
        self.trials: list[Trial] = []
        self._heads: dict[str, list[TrainedHead]] = {}
        super().__init__(
            oracle=oracles.build(settings.tune_lr, settings.runtime.seed),
            directory=Path(kept.folder),
            project_name="tuner",
            overwrite=True,
        )

    def run_trial(self, proposed: Any) -> dict[str, float]:
        """Returns the objective of a trial, after training a head with each seed.

        Raises:
            keras_tuner.errors.FatalError: A head could not be trained.
        """
        values, seeds = proposed.hyperparameters.values, self._params.seeds
        name, rate = _name(proposed.trial_id), values["learning_rate"]
        epochs = values.get("tuner/epochs", self._params.epochs)
        continues = _name(begun) if (begun := values.get("tuner/trial_id")) else ""
        params = {"learning_rate": rate, "epochs": epochs}
        record = Record.start(name, params | ({"continues": continues} if continues else {}))
        self._tell(record)
        trained: list[TrainedHead] = []

        def seen(epoch: Epoch) -> None:
            # Means over seeds are known with the last one alone.
            if len(trained) == len(seeds) - 1:
                before = [each.training.epochs[len(record.epochs)] for each in trained]
                record.add(trials.mean([*before, epoch]))

        try:
            for number, seed in enumerate(seeds):
                plan = self._plan(name, rate, epochs, seed)
                if continues:
                    plan = plan.continuing(self._heads[continues][number])
                trained.append(
                    heads.train(plan, self._data, TITLE, on_epoch=seen, memory=self._kept)
                )
        except Exception as error:
            # Of any other error Keras Tuner makes a failed trial, and continues.
            raise keras_tuner.errors.FatalError(
                f"{name}, learning rate {rate:g}: {error}"
            ) from error
        trainings = [each.training for each in trained]
        tested = [self._test_accuracy(each) for each in trained]
        trial = Trial(name, rate, epochs, trainings, tested, continues)
        trial.finish(record)
        self.trials.append(trial)
        self._heads[name] = trained
        return {OBJECTIVE: 0.0 if trial.diverged else trial.metrics[OBJECTIVE]}

    def run_ahead(self, engine: Engine, load: Load) -> None:
        """Trains the rates of a list side by side, if the engine spreads and features are live.

        The search then finds them among the kept trainings. On cached features a trial takes
        seconds, less than another process takes to start.

        Args:
            engine: Where they are trained.
            load: Loads the data there.
        """
        params, rates = self._params, self._params.learning_rates
        if isinstance(rates, RateRange) or params.tuner == "hyperband":
            return
        if not (engine.spreads and self._data.live):
            return
        print(f"{TITLE}: {len(rates)} learning rates run side by side", flush=True)
        plans = [
            self._plan("trial ahead", rate, params.epochs, seed)
            for rate in rates
            for seed in params.seeds
        ]
        tasks = [elsewhere.HeadTask(plan, load) for plan in plans]
        for _ in engine.map(partial(elsewhere.train, TITLE, self._kept), tasks):
            pass

    @property
    def planned_epochs(self) -> int | None:
        """How many epochs the search trains in sum; None: the tuner decides as it goes."""
        params, rates = self._params, self._params.learning_rates
        if params.tuner == "hyperband":
            return None
        trials = params.max_trials if isinstance(rates, RateRange) else len(rates)
        return trials * len(params.seeds) * params.epochs if trials else None

    def require_coverage(self) -> None:
        """Raises RuntimeError if a rate of a list was left out, or tried twice."""
        tuner, rates = self._params.tuner, self._params.learning_rates
        tried = sorted(trial.learning_rate for trial in self.trials)
        if tuner != "hyperband" and not isinstance(rates, RateRange) and tried != sorted(rates):
            raise RuntimeError(
                f"the {tuner} tuner tried {tried}, which does not cover {rates}; take another "
                "runtime.seed, or tune_lr.tuner: grid"
            )

    def _test_accuracy(self, trained: TrainedHead) -> float:
        predicted = heads.predict(trained.head, self._data.test.features).argmax(axis=1)
        return float((predicted == self._data.test.labels).mean())

    def _plan(self, name: str, rate: float, epochs: int, seed: int) -> HeadPlan:
        return HeadPlan(
            name, self._head, self._classes, seed, self._params.batch_size, rate, epochs
        )


def _name(trial_id: str) -> str:
    return f"trial {int(trial_id) + 1}"
