"""Judges exports by LiteRT's interpreter, against the classifiers that they are made of."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pandas as pd

from stemtune.core.params import Params
from stemtune.core.paths import EXPORTED, FRAMES, MANIFEST, PREDICTIONS
from stemtune.evaluation import metrics, predictions
from stemtune.export.exports import Export
from stemtune.media import scaling
from stemtune.networks.classifier import Predict
from stemtune.serving.litert import LiteRTClassifier
from stemtune.store import manifest
from stemtune.training.dataset import FrameBatches

BATCH = 32
SCORES = ("test_accuracy", "test_accuracy_low", "test_accuracy_high")


@dataclass(frozen=True)
class Judge:
    """What all exports are judged on.

    Attributes:
        frames: The frame table.
        samples: How often groups of frames are drawn for confidence intervals, the same for all.
        seed: Of these draws.
        size: Side of the stored frames, px.
        threads: How many frames a file answers at a time.
        expected: By model, what it answers in Keras on test, (frames, classes).
    """

    frames: pd.DataFrame
    samples: int
    seed: int
    size: int
    threads: int
    expected: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, settings: Params, threads: int) -> "Judge":
        """Returns the judge of a project that is at its place, with these settings."""
        return cls(
            manifest.frame_table(manifest.read(MANIFEST)),
            settings.compare.bootstrap_samples,
            settings.runtime.seed,
            settings.extract_frames.size,
            threads,
            predictions.read(PREDICTIONS, manifest.TEST),
        )

    def of_split(self, split: str) -> pd.DataFrame:
        """Returns the frames of a split."""
        return self.frames[self.frames["split"] == split].reset_index(drop=True)

    def calibration(self, side: int, count: int) -> np.ndarray:
        """Returns up to `count` frames (n, side, side, 3), uint8, from all over the training ones.

        int8's ranges are calibrated on them.
        """
        train = self.of_split(manifest.TRAIN)
        places = np.unique(np.linspace(0, len(train) - 1, count).round().astype(int))
        return scaling.shrink(np.concatenate([*_batches(self.size, train.iloc[places])]), side)

    def answers(self, path: Path, split: str) -> np.ndarray:
        """Returns the probabilities (frames of a split, classes) that a file gives."""
        batches = FrameBatches(FRAMES, self.of_split(split), self.size, BATCH, seed=None)
        # Loaded here, as loading redirects what the whole process prints. Each runs on one thread:
        # the last bits, and so now and then an answer, may differ with their number.
        free: SimpleQueue[Predict] = SimpleQueue()
        for _ in range(self.threads):
            free.put(LiteRTClassifier(path, threads=1).probabilities)

        def answer(number: int) -> np.ndarray:
            predict = free.get()
            try:
                return predict(batches[number][0])
            finally:
                free.put(predict)

        with ThreadPoolExecutor(self.threads) as pool:
            return np.concatenate([*pool.map(answer, range(batches.num_batches))])

    def judge(self, path: Path, model: str, precision: str, side: int) -> Export:
        """Returns how accurate an export is; keeps answers that may differ from the model's.

        Args:
            path: The file.
            model: Name of the classifier.
            precision: Of the file.
            side: Of the frames that it takes, px.
        """
        test, found = self.of_split(manifest.TEST), self.answers(path, manifest.TEST)
        if precision == "int8" or (precision == "float32" and side < self.size):
            checked = {manifest.VALIDATION: self.answers(path, manifest.VALIDATION)}
            answers = checked | {manifest.TEST: found}
            predictions.write(EXPORTED, path.stem, self.frames, answers)
        expected = self.expected[model]
        scores = metrics.scores(found, test, self.samples, self.seed)
        compared = metrics.compare(found, expected, test, self.samples, self.seed)
        labels = expected.argmax(axis=1)
        return Export(
            model=model,
            precision=precision,
            side=side,
            bytes=path.stat().st_size,
            **{name: scores[name] for name in SCORES},
            keras_accuracy=float((labels == test["label"].to_numpy()).mean()),
            difference=compared.difference,
            difference_low=compared.low,
            difference_high=compared.high,
            agreement=float((found.argmax(axis=1) == labels).mean()),
        )


def _batches(size: int, rows: pd.DataFrame) -> Iterator[np.ndarray]:
    """Yields the stored frames of rows of the frame table, a batch at a time."""
    batches = FrameBatches(FRAMES, rows, size, BATCH, seed=None)
    for number in range(batches.num_batches):
        yield batches[number][0]
