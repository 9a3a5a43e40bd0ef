"""The training of a trial: heads, one per seed, kept where other processes and runs find them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import keras_tuner
import numpy as np

from stemtune.core import files, typed_json
from stemtune.core.results import Epoch, Training
from stemtune.core.settings.training import Head, TuneLr
from stemtune.training import heads
from stemtune.training.dataset import Load, Splits
from stemtune.training.trials import Trial

# What a trial is called before the tuner has chosen its rate.
AHEAD = "trial ahead"


@dataclass(frozen=True)
class Search:
    """What the trials of a search have in common, and the place where they are kept.

    A trial is found by its rate and epochs, not by its name: what it comes to does not depend on
    when it is run.

    Attributes:
        folder: For the trials; named after all that decides the outcome.
        title: Of the search, for the terminal.
        classes: Number of classes.
        params: Seeds, epochs, batch size.
        head: What is trained.
        keep_best: Whether a head is that of the epoch which validates best, not of the last.
        start: Weights that heads start from; None: random ones.
    """

    folder: Path
    title: str
    classes: int
    params: TuneLr
    head: Head
    keep_best: bool
    start: Sequence[np.ndarray] | None

    def begin(self, name: str, rate: float, epochs: int, continues: str = "") -> Trial:
        """Returns a trial that begins now."""
        return Trial(
            name=name,
            learning_rate=rate,
            epochs=epochs,
            continues=continues,
            started=time.time(),
            by_seed=((),) * len(self.params.seeds),
        )

    def kept(self, trial: Trial) -> Trial | None:
        """Returns what a trial came to, if that is kept, under the name that it has now."""
        path = self._folder(trial) / "trial.json"
        if not path.exists():
            return None
        return typed_json.read(path, Trial).model_copy(update={"name": trial.name})

    def keep(self, trial: Trial) -> None:
        """Keeps what a trial came to, once its heads are kept."""
        typed_json.write(self._folder(trial) / "trial.json", trial)

    def keep_head(self, trial: Trial, seed: int, head: keras.Model) -> None:
        """Keeps a head of a trial."""
        with files.replacing(self._head_path(trial, seed)) as beside:
            head.save(beside)

    def kept_head(self, trial: Trial, seed: int) -> keras.Model:
        """Returns a head of a trial that is over."""
        return keras.models.load_model(self._head_path(trial, seed))

    def new_head(self, features: int, seed: int) -> keras.Model:
        """Returns a head for so many features, as it is before it is trained."""
        head = heads.build(features, self.classes, self.head, seed)
        if self.start is not None:
            head.set_weights(self.start)
        return head

    def _folder(self, trial: Trial) -> Path:
        after = f" after {trial.continues}" if trial.continues else ""
        return self.folder / f"{trial.learning_rate!r} to epoch {trial.epochs}{after}"

    def _head_path(self, trial: Trial, seed: int) -> Path:
        return self._folder(trial) / f"seed {seed}.keras"


class TrialTrainer:
    """Trains the heads of trials, one of a search after another."""

    def __init__(self, search: Search, data: Splits) -> None:
        self._search, self._data = search, data
        self._features = data.train.features.shape[1]
        # One for all trials, as each that is compiled costs more time than its epochs.
        self._head = search.new_head(self._features, 0)
        self._trainer = heads.compiled_trainer(self._head, data)
        self._head.compile(self._trainer.optimizer)

    def train(
        self,
        trial: Trial,
        on_progress: Callable[[Trial], None] = lambda trial: None,
        first: int = 0,
        continued: Trial | None = None,
    ) -> Trial:
        """Trains and keeps the heads of a trial, and returns what it came to.

        Args:
            trial: That begins.
            on_progress: As `search.search` takes it.
            first: The epoch that it begins with, counted from 0.
            continued: The trial whose weights and moments it takes over, if any.

        Raises:
            keras_tuner.errors.FatalError: It could not be trained.
        """
        on_progress(trial)
        seeds, kept = self._search.params.seeds, []
        try:
            for number, seed in enumerate(seeds):

                def seen(epoch: Epoch, number: int = number) -> None:
                    nonlocal trial
                    trial = trial.with_epoch(number, epoch)
                    # Means over seeds are known with the last one alone.
                    if number == len(seeds) - 1:
                        on_progress(trial)

                kept.append(self._train_head(trial, seed, first, continued, seen).kept)
            trial = trial.over(kept)
            self._search.keep(trial)
        except Exception as error:
            # Of any other error Keras Tuner makes a failed trial, and goes on.
            raise keras_tuner.errors.FatalError(
                f"{trial.name}, learning rate {trial.learning_rate:g}: {error}"
            ) from error
        return trial

    def _train_head(
        self,
        trial: Trial,
        seed: int,
        first: int,
        continued: Trial | None,
        seen: Callable[[Epoch], None],
    ) -> Training:
        search, moments = self._search, None
        if continued:
            start = search.kept_head(continued, seed)
            moments = [variable.numpy() for variable in start.optimizer.variables]
            # Or the epochs to come would repeat the order of those before.
            keras.utils.set_random_seed(seed + first)
        else:
            start = search.new_head(self._features, seed)
        for variable, value in zip(self._head.variables, start.variables, strict=True):
            variable.assign(value)
        rate = trial.learning_rate
        training = heads.train(
            self._head,
            rate,
            self._data,
            trial.epochs,
            search.params.batch_size,
            f"{search.title}: {trial.name}, learning rate {rate:.3g}, seed {seed}",
            seen,
            self._trainer,
            initial_epoch=first,
            moments=moments,
            keep_best=search.keep_best,
        )
        search.keep_head(trial, seed, self._head)
        return training


@dataclass(frozen=True)
class TrialAhead:
    """A learning rate to be tried before the tuner asks for it, wherever there is room."""

    search: Search
    load: Load
    learning_rate: float


def train_ahead(ahead: TrialAhead) -> None:
    """Trains and keeps the heads of a rate, unless a run that was cut off has done so."""
    search = ahead.search
    trial = search.begin(AHEAD, ahead.learning_rate, search.params.epochs)
    if search.kept(trial) is None:
        TrialTrainer(search, ahead.load()).train(trial)
