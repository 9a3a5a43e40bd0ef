"""The frame store: `<shard>.tfrecord` per clip, its frames as uint8 RGB squares of one side."""

from pathlib import Path

import numpy as np

from stemtune.store import shards

DTYPE = "uint8"


def shape(side: int) -> tuple[int, int, int]:
    """Returns the shape of a stored frame."""
    return (side, side, 3)


def read_clip(folder: Path, shard: str, side: int) -> np.ndarray:
    """Returns all frames of a clip (n, side, side, 3); raises ShardError as `shards.read` does."""
    return shards.read(shards.path_of(folder, shard), shape(side), DTYPE)


def read_frame(folder: Path, shard: str, index: int, side: int) -> np.ndarray:
    """Returns one frame of a clip (side, side, 3), without reading the others."""
    return shards.read_frame(shards.path_of(folder, shard), index, shape(side), DTYPE)
