"""A stored classifier at work: probabilities of frames of any size."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from stemtune.core import files
from stemtune.core.input_specification import CLASSES_FILE
from stemtune.networks import reproducibility
from stemtune.serving import given_frames


class Classifier:
    """Loads a classifier that `classifier.save` stored.

    Attributes:
        classes: Names, in the order of the probabilities.
        specification: The frames that it was trained on, and takes.
    """

    def __init__(self, folder: Path) -> None:
        reproducibility.load_as_guest()
        from stemtune.networks import classifier

        self.classes: list[str] = files.read_json(folder / CLASSES_FILE)
        self.specification = classifier.specification(folder)
        self._predict = classifier.load(folder).predictor(self.specification.side)

    def batches(self, frames: np.ndarray) -> Iterator[np.ndarray]:
        """Yields the probabilities of frames as `frames` returns them, of some frames at a time."""
        specification = self.specification
        for batch in given_frames.squares(frames, specification.size, specification.side):
            yield self._predict(batch)

    def frames(self, frames: np.ndarray) -> pd.DataFrame:
        """Returns the probabilities of frames (n, h, w, 3), uint8, RGB: a row each.

        Frames of another side than the classifier's are scaled as those of a clip are.

        Raises:
            InputError: They are of another shape or type, or none.
        """
        return pd.DataFrame(np.concatenate([*self.batches(frames)]), columns=self.classes)
