"""Features computed anew for every batch of frames: what augmentation takes, and caching spares."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from stemtune.store import manifest
from stemtune.store.embeddings import Embed
from stemtune.training.dataset import FrameBatches, Load, Splits, Targets


class LiveFeatures(keras.utils.PyDataset):
    """Batches of features (n, d), float32, with labels: each frame embedded as it is asked for."""

    def __init__(self, frames: FrameBatches, embed: Embed) -> None:
        super().__init__()
        self._frames, self._embed = frames, embed

    @property
    def num_batches(self) -> int:
        """The number of batches, the last of which may be smaller."""
        return self._frames.num_batches

    def __getitem__(self, batch: int) -> tuple[np.ndarray, Targets]:
        frames, labels = self._frames[batch]
        return self._embed(frames), labels

    def on_epoch_end(self) -> None:
        """Draws the order of the next epoch, and the views shown."""
        self._frames.draw_order()


def load(
    cached: Load,
    build: Callable[[], Callable[[int], Embed]],
    folder: Path,
    table: pd.DataFrame,
    size: int,
    views: int,
) -> Splits:
    """Loads cached features, builds a network, and returns what `attach` makes of them.

    Args:
        cached: Loads the features.
        build: Gives the embedder that `attach` takes.
        folder: As `attach` takes it, like the rest.
    """
    return attach(cached(), build(), folder, table, size, views)


def attach(
    data: Splits,
    embedder: Callable[[int], Embed],
    folder: Path,
    table: pd.DataFrame,
    size: int,
    views: int,
) -> Splits:
    """Returns data whose train split is embedded anew in every epoch.

    Validation and test keep their cached features, which nothing augments.

    Args:
        data: With cached features.
        embedder: From a number of frames, the most that it is given at a time, to a function from
            frames (n, size, size, 3), uint8, to features (n, d), float32.
        folder: `frames/`.
        table: The manifest.
        size: Side of the stored frames, px.
        views: Of a frame, of which one is drawn at random in each epoch.
    """
    frames = manifest.frame_table(table)
    train = frames[frames["split"] == manifest.TRAIN]

    def live(batch_size: int, seed: int) -> LiveFeatures:
        batches = FrameBatches(folder, train, size, batch_size, seed, views=views)
        return LiveFeatures(batches, embedder(batch_size))

    return data._replace(live=live, views=views)
