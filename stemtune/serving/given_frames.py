"""Frames as a classifier is given them: of any size, a batch at a time."""

from collections.abc import Iterator

import av.error
import numpy as np

from stemtune.core.errors import InputError
from stemtune.media import scaling

BATCH = 32


def require(frames: np.ndarray) -> None:
    """Raises InputError if frames are no array (n, h, w, 3), uint8, n, h and w from 1 on."""
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise InputError(
            "takes frames as an array (n, h, w, 3) of uint8, RGB, n, h and w from 1 on; got "
            f"one of shape {frames.shape} of {frames.dtype}"
        )


def squares(frames: np.ndarray, size: int, other: int) -> Iterator[np.ndarray]:
    """Yields frames (n, h, w, 3), uint8, RGB, as squares, `BATCH` at a time.

    Small frames grow by being scaled, so only one batch of them is in memory.

    Args:
        size: Side that frames are scaled to as those of a clip are, px.
        other: Side of squares that stay as they are, as those of `size` do, px.

    Raises:
        InputError: They are of another shape or type, none, or of sides that cannot be scaled.
    """
    require(frames)
    height, width = frames.shape[1:3]
    for start in range(0, len(frames), BATCH):
        batch = frames[start : start + BATCH]
        if height == width and width in (size, other):
            yield batch
            continue
        try:
            scaled = scaling.scale(batch, size)
        except av.error.FFmpegError as error:
            raise InputError(
                f"cannot scale frames of {width} x {height} pixels ({error}); send smaller ones"
            ) from error
        yield scaled
