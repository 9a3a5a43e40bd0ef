"""A cascade of two exported files at work."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from stemtune.core.errors import InputError
from stemtune.evaluation import cascades, clip_answers
from stemtune.serving.litert import LiteRTClassifier


class CascadeClassifier:
    """Answers for clips as a `.cascade.json` file says, with the two files beside it.

    Attributes:
        specification: Of the full model.
    """

    def __init__(self, path: Path) -> None:
        """Loads it.

        Raises:
            InputError: It is no cascade, or a file that it names is missing, no export, or of other
                classes or frames.
        """
        try:
            self._cascade = cascades.read(path)
        except FileNotFoundError:
            raise InputError(f"there is no cascade {path}; `dvc repro` writes exports/") from None
        self._small = LiteRTClassifier(path.parent / self._cascade.small)
        self._full = LiteRTClassifier(path.parent / self._cascade.full)
        small, full = self._small.specification, self._full.specification
        if self._small.classes != self._full.classes or replace(small, side=full.side) != full:
            raise InputError(
                f"{path} joins {self._cascade.small} and {self._cascade.full}, which have other "
                "classes or take other frames; `dvc repro` writes both again"
            )
        self.specification = full

    def frames(self, frames: np.ndarray) -> pd.DataFrame:
        """Returns the probabilities of frames (n, h, w, 3), uint8, RGB, each taken for a clip."""
        return self.clips(frames, len(frames))

    def clips(self, frames: np.ndarray, number: int) -> pd.DataFrame:
        """Returns the probabilities of clips: a row each.

        Args:
            frames: Those of all clips, as many of each, one clip after the other.
            number: Of clips.
        """
        rows = [self._answer(clip) for clip in np.split(frames, number)]
        return pd.DataFrame(rows, columns=self._full.classes)

    def _answer(self, clip: np.ndarray) -> np.ndarray:
        cascade = self._cascade
        found = _mean(self._small, clip, cascade.small_frames)
        if found.max() <= cascade.threshold:
            return _mean(self._full, clip, cascade.full_frames)
        return found


def _mean(model: LiteRTClassifier, clip: np.ndarray, frames: int) -> np.ndarray:
    looked_at = clip_answers.looked_at(len(clip), frames)
    return model.frames(clip[looked_at]).to_numpy(np.float64).mean(axis=0)
