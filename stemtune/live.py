"""Features computed anew for every batch of frames: what augmentation takes, and caching spares."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from stemtune import backbones, manifest
from stemtune.dataset import FrameBatches, Splits, Targets
from stemtune.params import Head


class LiveFeatures(keras.utils.PyDataset):
    """Batches of features (n, d), float32, with labels: each frame embedded as it is asked for."""

    def __init__(
        self, frames: FrameBatches, embed: Callable[[np.ndarray], np.ndarray], flip: bool, seed: int
    ) -> None:
        super().__init__()
        self._frames, self._embed, self._flip = frames, embed, flip
        self._random = np.random.default_rng(seed)

    @property
    def num_batches(self) -> int:
        """The number of batches, the last of which may be smaller."""
        return self._frames.num_batches

    def __getitem__(self, batch: int) -> tuple[np.ndarray, Targets]:
        frames, labels = self._frames[batch]
        if self._flip:
            mirrored = self._random.random(len(frames)) < 0.5
            frames[mirrored] = frames[mirrored, :, ::-1]
        return self._embed(frames), labels

    def on_epoch_end(self) -> None:
        """Draws the order of the next epoch."""
        self._frames.draw_order()


def attach(
    data: Splits,
    network: keras.Model,
    folder: Path,
    table: pd.DataFrame,
    sides: tuple[int, int],
    params: Head,
) -> Splits:
    """Returns data whose train split is embedded anew in every epoch.

    Validation and test keep their cached features, which nothing augments.

    Args:
        data: With cached features.
        network: The composite network, from `backbones.concatenate`.
        folder: `frames/`.
        table: The manifest.
        sides: Of the stored frames, and of those that the network sees, px.
        params: Whether frames are mirrored at random.
    """
    frames = manifest.frame_table(table)
    train = frames[frames["split"] == manifest.TRAIN]
    size, side = sides

    def live(batch_size: int, seed: int) -> LiveFeatures:
        batches = FrameBatches(folder, train, size, batch_size, seed)
        embed = backbones.embedder(network, batch_size, size, side)
        return LiveFeatures(batches, embed, params.augmentation == "flip", seed)

    return data._replace(live=live)
