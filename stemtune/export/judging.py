"""Judges exports by LiteRT's interpreter, against the classifiers that they are made of."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd

from stemtune.core.params import Params
from stemtune.core.paths import FRAMES, MANIFEST
from stemtune.engine.engine import Engine, split
from stemtune.evaluation import metrics
from stemtune.export.exports import Export
from stemtune.media import scaling
from stemtune.networks import classifier
from stemtune.networks.classifier import Classifier, Predict
from stemtune.serving.litert import LiteRTClassifier
from stemtune.store import manifest
from stemtune.training.dataset import FrameBatches

BATCH = 32
# Whole batches, so that a classifier sees the same ones wherever it is.
FRAMES_OF_A_CHUNK = 8 * BATCH
SCORES = ("test_accuracy", "test_accuracy_low", "test_accuracy_high")


@dataclass(frozen=True)
class Judge:
    """What all exports are judged on.

    Attributes:
        test: The test frames, rows of the frame table.
        train: The training frames.
        samples: How often groups of frames are drawn for confidence intervals, the same for all.
        seed: Of these draws.
        size: Side of the stored frames, px.
        engine: Where classifiers and files answer.
    """

    test: pd.DataFrame
    train: pd.DataFrame
    samples: int
    seed: int
    size: int
    engine: Engine

    @classmethod
    def of(cls, settings: Params, engine: Engine) -> "Judge":
        """Returns the judge of a project that is at its place, with these settings."""
        frames = manifest.frame_table(manifest.read(MANIFEST))
        by_split = {name: rows.reset_index(drop=True) for name, rows in frames.groupby("split")}
        return cls(
            by_split[manifest.TEST],
            by_split[manifest.TRAIN],
            settings.compare.bootstrap_samples,
            settings.runtime.seed,
            settings.extract_frames.size,
            engine,
        )

    def calibration(self, side: int, count: int) -> np.ndarray:
        """Returns up to `count` frames (n, side, side, 3), uint8, from all over the training ones.

        int8's ranges are calibrated on them.
        """
        places = np.unique(np.linspace(0, len(self.train) - 1, count).round().astype(int))
        return scaling.shrink(np.concatenate([*_batches(self.size, self.train.iloc[places])]), side)

    def answers(self, load: Callable[[], Predict]) -> np.ndarray:
        """Returns the probabilities (test frames, classes) of the classifier that `load` loads."""
        chunks = split(self.engine, range(len(self.test)), FRAMES_OF_A_CHUNK)
        parts = [self.test.iloc[[*chunk]] for chunk in chunks]
        return np.concatenate(
            [*self.engine.map_loaded(partial(_answering, load, self.size), parts)]
        )

    def judge(self, path: Path, model: str, precision: str, expected: np.ndarray) -> Export:
        """Returns what an export is worth.

        Args:
            path: The file.
            model: Name of the classifier.
            precision: Of the file.
            expected: What the classifier in Keras answers, from `answers`.
        """
        found = self.answers(partial(_load_export, path))
        scores = metrics.scores(found, self.test, self.samples, self.seed)
        compared = metrics.compare(found, expected, self.test, self.samples, self.seed)
        labels = expected.argmax(axis=1)
        return Export(
            model=model,
            precision=precision,
            side=LiteRTClassifier(path).specification.side,
            bytes=path.stat().st_size,
            **{name: scores[name] for name in SCORES},
            keras_accuracy=float((labels == self.test["label"].to_numpy()).mean()),
            difference=compared.difference,
            difference_low=compared.low,
            difference_high=compared.high,
            agreement=float((found.argmax(axis=1) == labels).mean()),
        )


@cache
def stored(folder: Path) -> Classifier:
    """Returns a stored classifier, the same one each time."""
    return classifier.load(folder)


def predictor(folder: Path, side: int) -> Predict:
    """Returns a stored classifier's answers to frames, which it sees at `side`, px."""
    return stored(folder).predictor(side)


def _load_export(path: Path) -> Predict:
    # The last bits, and so now and then an answer, may differ with the number of threads.
    return LiteRTClassifier(path, threads=1).probabilities


def _answering(load: Callable[[], Predict], size: int) -> Callable[[pd.DataFrame], np.ndarray]:
    predict = load()
    return lambda rows: np.concatenate([predict(frames) for frames in _batches(size, rows)])


def _batches(size: int, rows: pd.DataFrame) -> Iterator[np.ndarray]:
    """Yields the stored frames of rows of the frame table, a batch at a time."""
    batches = FrameBatches(FRAMES, rows, size, BATCH, seed=None)
    for number in range(batches.num_batches):
        yield batches[number][0]
