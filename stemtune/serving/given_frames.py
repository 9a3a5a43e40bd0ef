"""Frames as a classifier is given them, and what is said of others."""

import numpy as np

from stemtune.core.errors import InputError


def require(frames: np.ndarray) -> None:
    """Raises InputError where frames are no array (n, h, w, 3), uint8, n, h and w from 1 on."""
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise InputError(
            "takes frames as an array (n, h, w, 3) of uint8, RGB, n, h and w from 1 on; got "
            f"one of shape {frames.shape} of {frames.dtype}"
        )
