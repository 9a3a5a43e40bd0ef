"""What is trained and tested on: rows of the frame table with their features or frames."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from stemtune.core.params import Params
from stemtune.core.paths import FRAMES, MANIFEST
from stemtune.core.views import view
from stemtune.store import embeddings, manifest
from stemtune.store.frame_store import read_frame

BATCHES_AHEAD = 2


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
    live: Callable[[int, int], "FrameBatches"] | None = None
    views: int = 1

    def train_batches(self, batch_size: int, seed: int) -> Any:
        """Returns the train split's batches for Keras, in an order that is drawn from the seed."""
        return (self.live or self.train.shuffled)(batch_size, seed)


# Loads them in whichever process it is called; can be pickled.
Load = Callable[[], Splits]


def load_features(folder: Path, backbones: list[str], side: int, frames: pd.DataFrame) -> Labelled:
    """Returns the features that rows of the frame table have at `side`, in all views kept there."""
    features = embeddings.load(folder, backbones, side, frames)
    return Labelled(features, np.tile(labels_of(frames), len(features) // len(frames)))


class FrameBatches(keras.utils.PyDataset):
    """Batches of stored frames (n, size, size, 3), uint8, with labels, read as they are needed.

    Memory is that of a few batches, however many frames there are. With a seed, each epoch has an
    order of its own; epoch k of one seed is always the same.

    Args:
        folder: The frame store.
        frames: Rows of the frame table.
        size: Side of the stored frames, px.
        batch_size: Frames per batch; the last may have fewer.
        seed: Of the order of frames and the views shown; None: as in `frames`.
        views: Augmented copies of a frame, of which each epoch shows one, drawn at random.
        embed: Makes features (n, d), float32, of a batch's frames, and the batch has these.
    """

    def __init__(
        self,
        folder: Path,
        frames: pd.DataFrame,
        size: int,
        batch_size: int,
        seed: int | None,
        views: int = 1,
        embed: embeddings.Embed | None = None,
    ) -> None:
        super().__init__()
        self.labels = labels_of(frames)
        self._folder, self._size, self._batch_size = folder, size, batch_size
        self._shards, self._indexes = frames["shard"].to_numpy(), frames["index"].to_numpy()
        self._embed = embed
        self._random = None if seed is None else np.random.default_rng(seed)
        self._order, self._views = np.arange(len(frames)), views
        self._shown = np.zeros(len(frames), int)
        self.on_epoch_end()

    @property
    def num_batches(self) -> int:
        """The number of batches."""
        return -(-len(self._order) // self._batch_size)

    def __getitem__(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self._order[batch * self._batch_size : (batch + 1) * self._batch_size]
        frames = [
            read_frame(self._folder, self._shards[row], self._indexes[row], self._size)[np.newaxis]
            for row in rows
        ]
        shown = np.concatenate(list(map(view, frames, self._shown[rows])))
        return self._embed(shown) if self._embed else shown, self.labels[rows]

    def on_epoch_end(self) -> None:
        """Draws the order of the next epoch, and the views shown, if there is a seed."""
        if self._random is not None:
            self._random.shuffle(self._order)
            if self._views > 1:
                self._shown = self._random.integers(self._views, size=len(self._order))

    def stream(self) -> tf.data.Dataset:
        """Returns the batches for Keras, an epoch each time they are gone through, read ahead.

        tf.data does not tune itself: to end an epoch would take until its tuner wakes, which it
        does after 10, 30, 70, … ms: an epoch of 2.7 s took 5.1 (TensorFlow 2.21).
        """

        def epoch() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            # Not at an epoch's end, which what is read ahead may never come to.
            self.on_epoch_end()
            yield from (self[batch] for batch in range(self.num_batches))

        def signature(array: np.ndarray) -> tf.TensorSpec:
            return tf.TensorSpec((None, *array.shape[1:]), array.dtype)

        options = tf.data.Options()
        options.autotune.enabled = False
        batches = tf.data.Dataset.from_generator(
            epoch, output_signature=tuple(map(signature, self[0]))
        )
        counted = batches.apply(tf.data.experimental.assert_cardinality(self.num_batches))
        return counted.prefetch(BATCHES_AHEAD).with_options(options)


def embedded_live(
    data: Splits, embedder: Callable[[int], embeddings.Embed], settings: Params, views: int
) -> Splits:
    """Returns data whose train frames are embedded again in each epoch.

    Args:
        data: With cached features; validation and test keep theirs, which nothing augments.
        embedder: From a batch size to a function from frames to features.
        settings: The content of params.yaml.
        views: Augmented copies of a frame, of which each epoch shows one.
    """
    frames = manifest.frame_table(manifest.read(MANIFEST))
    train, size = frames[frames["split"] == manifest.TRAIN], settings.extract_frames.size

    def live(batch_size: int, seed: int) -> FrameBatches:
        embed = embedder(batch_size)
        return FrameBatches(FRAMES, train, size, batch_size, seed, views=views, embed=embed)

    return data._replace(live=live, views=views)
