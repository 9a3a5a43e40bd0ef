"""Trains a stem several times, and keeps the weights that validate best."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from stemtune.core.results import Epoch, by_loss
from stemtune.core.settings.training import Attempt, Variant
from stemtune.engine.engine import Engine
from stemtune.networks.classifier import Classifier, load, save_network
from stemtune.store import manifest
from stemtune.training import heads, rates
from stemtune.training.dataset import FrameBatches, Splits
from stemtune.training.stem_training import StemTrainer, StemTraining, assign

# Is entered when an attempt begins, and gives what is told of its epochs.
Watch = Callable[[Attempt], AbstractContextManager[Callable[[Epoch], None]]]


@dataclass(frozen=True)
class StemData:
    """What a stem is trained and validated on.

    Attributes:
        folder: The frame store.
        frames: The frame table.
        size: Side of the stored frames, px.
        batch_size: Frames per step.
        seed: Of the order of frames in training.
        views: Of a frame, of which one is drawn at random in each epoch.
        teacher: By split, the probabilities that the stem learns to bring about, from `teach`;
            None: it learns from labels.
    """

    folder: Path
    frames: pd.DataFrame
    size: int
    batch_size: int
    seed: int
    views: int
    teacher: Mapping[str, np.ndarray] | None

    def batches(self, split: str, seed: int | None) -> FrameBatches:
        """Returns the batches of a split, whose first epoch is the same each time.

        Args:
            split: Train or validation.
            seed: Of the order of frames; None: that of the frame table.
        """
        frames = self.frames[self.frames["split"] == split]
        teacher = None if self.teacher is None else self.teacher[split]
        return FrameBatches(
            self.folder, frames, self.size, self.batch_size, seed, teacher, self.views
        )


def teach(head: keras.Model, data: Splits) -> dict[str, np.ndarray]:
    """Returns, by split, the probabilities that a trained head gives for features."""
    return {
        manifest.TRAIN: heads.predict(head, data.train.features),
        manifest.VALIDATION: heads.predict(head, data.validation.features),
    }


def train(
    classifier: Classifier,
    data: StemData,
    settings: Variant,
    attempts: Sequence[Attempt],
    epochs: int,
    title: str,
    watch: Watch,
) -> list[StemTraining]:
    """Trains the stem of a classifier several times, and leaves the best weights in it.

    Each attempt begins with the weights that there are now. How good the stem becomes differs with
    the order of frames by some points, and what validates better also tests better.

    Args:
        classifier: With a stem.
        data: What the stem is trained and validated on.
        settings: How.
        attempts: Their learning rates and orders of frames.
        epochs: How many of each.
        title: What is said to be trained.
        watch: Follows each attempt.

    Returns:
        A training for each attempt.

    Raises:
        ValueError: The classifier has no stem.
    """
    trainer = _trainer(classifier, data, settings)
    start, trainings = [variable.numpy() for variable in trainer.variables], []
    for attempt in attempts:
        assign(trainer.variables, start)
        with watch(attempt) as on_epoch:
            training = trainer.train(
                data.batches(manifest.TRAIN, attempt.order_seed(data.seed)),
                data.batches(manifest.VALIDATION, None),
                attempt.learning_rate,
                epochs,
                f"{title} {attempt}",
                on_epoch,
                keep_best=settings.keep_epoch == "best",
                decay=settings.decay == "cosine",
            )
        trainings.append(training)
    assign(trainer.variables, best(trainings).weights)
    return trainings


@dataclass(frozen=True)
class StoredStem:
    """A stem to be trained once, as `train` has it, and where it is stored for that."""

    folder: Path
    data: StemData
    settings: Variant
    attempt: Attempt
    epochs: int
    title: str


def train_all(
    classifier: Classifier, stems: Sequence[StoredStem], watch: Watch, engine: Engine
) -> list[StemTraining]:
    """Trains a stem several times, and leaves the best weights in it.

    Where attempts are spread, the epochs of one are told when it is over.

    Args:
        classifier: With the stem.
        stems: The stem for each attempt.
        watch: Follows each attempt.
        engine: Where it is trained.
    """
    first = stems[0]
    if not engine.spreads or len(stems) == 1:
        attempts = [stem.attempt for stem in stems]
        return train(
            classifier, first.data, first.settings, attempts, first.epochs, first.title, watch
        )
    save_network(classifier, first.folder)
    trainings = []
    for stem, training in zip(stems, engine.map(_train_stored, stems), strict=True):
        with watch(stem.attempt) as on_epoch:
            for epoch in training.epochs:
                on_epoch(epoch)
        trainings.append(training)
    trainer = _trainer(classifier, first.data, first.settings)
    assign(trainer.variables, best(trainings).weights)
    return trainings


def _train_stored(stem: StoredStem) -> StemTraining:
    @contextmanager
    def unwatched(attempt: Attempt) -> Iterator[Callable[[Epoch], None]]:
        yield lambda epoch: None

    attempts = [stem.attempt]
    classifier = load(stem.folder)
    [training] = train(
        classifier, stem.data, stem.settings, attempts, stem.epochs, stem.title, unwatched
    )
    return training


def _trainer(classifier: Classifier, data: StemData, settings: Variant) -> StemTrainer:
    return StemTrainer(
        classifier, data.size, settings.objective, settings.head == "joint", settings.clipnorm
    )


def best(trainings: Sequence[StemTraining]) -> StemTraining:
    """Returns the training that validates best: see `results.by_loss`."""

    return min(trainings, key=by_loss)


def notes(tried: Mapping[Attempt, StemTraining], kept: Attempt, setting: str) -> list[str]:
    """Returns what people should know of the trainings, in words.

    Args:
        tried: What each attempt came to.
        kept: The attempt whose stem is kept.
        setting: Of params.yaml, that holds the variant, by its dotted name.
    """
    said = [
        f"the stem died {attempt}: {training.death}; give {setting} other learning_rates, lower "
        "ones in most cases, or start: average"
        for attempt, training in tried.items()
        if training.death
    ]
    if len(tried) > 1:
        said.append(f"validates best {kept}")
    different = list(dict.fromkeys(attempt.learning_rate for attempt in tried))
    if len(different) > 1:
        said.append(rates.advice(different, kept.learning_rate, f"{setting}.learning_rates"))
    return [note for note in said if note]
