"""A stored classifier at work: probabilities of frames of any size."""

from pathlib import Path

import numpy as np
import pandas as pd

from stemtune.core import files
from stemtune.core.input_specification import CLASSES_FILE
from stemtune.media import scaling
from stemtune.networks import reproducibility
from stemtune.serving import given_frames

BATCH = 32


class Classifier:
    """Loads a classifier that `classifier.save` stored.

    Attributes:
        classes: Names, in the order of the probabilities.
        specification: Frames like those that it was trained on are shown to it.
    """

    def __init__(self, folder: Path) -> None:
        reproducibility.load()
        from stemtune.networks import classifier

        self.classes: list[str] = files.read_json(folder / CLASSES_FILE)
        self.specification = classifier.specification(folder)
        self._predict = classifier.load(folder).predictor(self.specification.side)

    def frames(self, frames: np.ndarray) -> pd.DataFrame:
        """Returns the probabilities of frames (n, h, w, 3), uint8, RGB: a row each.

        Frames of another side than the classifier's are scaled as those of a clip are.

        Raises:
            InputError: They are of another shape or type, or none.
        """
        given_frames.require(frames)
        side = self.specification.side
        batches = [frames[start : start + BATCH] for start in range(0, len(frames), BATCH)]
        if frames.shape[1:3] != (side, side):
            batches = [scaling.scale(batch, self.specification.size) for batch in batches]
        probabilities = np.concatenate([self._predict(batch) for batch in batches])
        return pd.DataFrame(probabilities, columns=self.classes)
