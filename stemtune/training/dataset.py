"""What is trained and tested on: rows of the frame table with their features or frames."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from stemtune.core.views import view
from stemtune.store import embeddings, manifest
from stemtune.store.frame_store import read_frame

BATCHES_AHEAD = 2
# Labels, or what a model with several outputs is to give.
Targets = np.ndarray | dict[str, np.ndarray]


class Labelled(NamedTuple):
    """Features (n, d), float32, and their labels (n,), int32."""

    features: np.ndarray
    labels: np.ndarray

    def shuffled(self, batch_size: int, seed: int) -> tf.data.Dataset:
        """Returns batches for Keras; each epoch has an order of its own, drawn from the seed."""
        features, labels = map(tf.constant, self)
        rows = tf.data.Dataset.range(len(self.labels)).shuffle(len(self.labels), seed)
        return rows.batch(batch_size).map(
            lambda at: (tf.gather(features, at), tf.gather(labels, at))
        )


def labels_of(frames: pd.DataFrame) -> np.ndarray:
    """Returns the labels of rows of the frame table, int32."""
    return frames["label"].to_numpy(np.int32)


class Splits(NamedTuple):
    """Features and labels of each split.

    With `live`, the frames of the train split are embedded again in every epoch instead, each in
    one of `views` augmented copies, drawn at random. It takes batch size and seed.
    """

    train: Labelled
    validation: Labelled
    test: Labelled
    live: Callable[[int, int], keras.utils.PyDataset] | None = None
    views: int = 1

    def train_batches(self, batch_size: int, seed: int) -> Any:
        """Returns the train split's batches for Keras, in an order that is drawn from the seed."""
        if self.live is not None:
            return self.live(batch_size, seed)
        return self.train.shuffled(batch_size, seed)

    @property
    def features(self) -> int:
        """How many features a frame has."""
        return int(self.train.features.shape[1])

    def with_more(self, train: Labelled) -> "Splits":
        """Returns these, with more to train on."""
        features, labels = (np.concatenate(parts) for parts in zip(self.train, train, strict=True))
        return self._replace(train=Labelled(features, labels))


# Loads them in whichever process it is called; can be pickled.
Load = Callable[[], Splits]


def load_embedded(folder: Path, backbones: list[str], side: int, table: pd.DataFrame) -> Splits:
    """Returns the features that a manifest's frames have at `side`, by split."""
    frames = manifest.frame_table(table)
    parts = [frames[frames["split"] == split] for split in manifest.SPLITS]
    train, validation, test = (load_features(folder, backbones, side, part) for part in parts)
    return Splits(train, validation, test)


def load_features(folder: Path, backbones: list[str], side: int, frames: pd.DataFrame) -> Labelled:
    """Returns the features that rows of the frame table have at `side`, in all views kept there."""
    features = embeddings.load(folder, backbones, side, frames)
    return Labelled(features, np.tile(labels_of(frames), len(features) // len(frames)))


class FrameBatches:
    """Batches of stored frames (n, size, size, 3), uint8, with labels, read as they are needed.

    Memory is that of a few batches, however many frames there are. With a seed the order is drawn
    anew for each epoch; epoch k of one seed is always the same. With a teacher's outputs (frames,
    d) a batch has them beside its labels: {"classes": (n,), "teacher": (n, d)}.

    Of several views, each frame is shown in one, drawn at random for each epoch.
    """

    def __init__(
        self,
        folder: Path,
        frames: pd.DataFrame,
        size: int,
        batch_size: int,
        seed: int | None,
        teacher: np.ndarray | None = None,
        views: int = 1,
    ) -> None:
        self.size = size
        self.teacher = teacher
        self._folder = folder
        self._shards = frames["shard"].to_numpy()
        self._indexes = frames["index"].to_numpy()
        self.labels = labels_of(frames)
        self._batch_size = batch_size
        self._order = np.arange(len(frames))
        self._random = None if seed is None else np.random.default_rng(seed)
        self._views, self._shown = views, np.zeros(len(frames), int)
        self.draw_order()

    @property
    def num_batches(self) -> int:
        """The number of batches, the last of which may be smaller."""
        return -(-len(self._order) // self._batch_size)

    @property
    def share_of_one_class(self) -> float:
        """The accuracy that the same answer to every frame can reach."""
        return float(np.bincount(self.labels).max() / len(self.labels))

    def __getitem__(self, batch: int) -> tuple[np.ndarray, Targets]:
        rows = self._order[batch * self._batch_size : (batch + 1) * self._batch_size]
        frames = [
            read_frame(self._folder, self._shards[row], self._indexes[row], self.size)[np.newaxis]
            for row in rows
        ]
        shown = np.concatenate(list(map(view, frames, self._shown[rows])))
        labels = self.labels[rows]
        if self.teacher is None:
            return shown, labels
        return shown, {"classes": labels, "teacher": self.teacher[rows]}

    def stream(self) -> tf.data.Dataset:
        """Returns the batches for Keras, an epoch each time they are gone through, read ahead.

        tf.data does not tune itself: to end an epoch would take until its tuner wakes, which it
        does after 10, 30, 70, … ms, so that an epoch of 2.7 s took 5.1 (TensorFlow 2.21).
        """

        def epoch() -> Iterator[tuple[np.ndarray, Targets]]:
            # Not at an epoch's end, which what is read ahead may never come to.
            self.draw_order()
            yield from (self[batch] for batch in range(self.num_batches))

        def signature(array: np.ndarray) -> tf.TensorSpec:
            return tf.TensorSpec((None, *array.shape[1:]), array.dtype)

        options = tf.data.Options()
        options.autotune.enabled = False
        batches = tf.data.Dataset.from_generator(
            epoch, output_signature=keras.tree.map_structure(signature, self[0])
        )
        counted = batches.apply(tf.data.experimental.assert_cardinality(self.num_batches))
        return counted.prefetch(BATCHES_AHEAD).with_options(options)

    def draw_order(self) -> None:
        """Draws the order of the next epoch, and the views shown, where there is a seed."""
        if self._random is not None:
            self._random.shuffle(self._order)
            if self._views > 1:
                self._shown = self._random.integers(self._views, size=len(self._order))
