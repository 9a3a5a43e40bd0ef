"""A picture for tests, and what a file of it gives."""

from pathlib import Path

import numpy as np

from stemtune.media import decoding, sampling, scaling
from tests.support import reference
from tests.support.project import ROOT

CASES = ROOT / "tests/support/cases"
SIDE = 64
# Four corners and a gradient: turned in any way, it looks different.
UPRIGHT = np.zeros((96, 128, 3), np.uint8)
UPRIGHT[:, :, 0] = np.linspace(0, 255, 128)
UPRIGHT[:, :, 1] = np.linspace(255, 0, 96)[:, None]
UPRIGHT[:24, :32, 2] = 255


def sample(path: Path, count: int = 4) -> sampling.Sample:
    return decoding.sample_frames(path, count, SIDE, reference.LIMITS)


def shown(picture: np.ndarray) -> np.ndarray:
    """Returns the frame that a picture (h, w, 3) gives."""
    return scaling.scale(picture[None], SIDE)[0]


def most(first: np.ndarray, second: np.ndarray) -> int:
    return int(np.abs(first.astype(int) - second).max())
