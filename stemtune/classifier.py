"""A stored classifier at work: probabilities of frames of any size, and of whole clips."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from stemtune import files, models, video
from stemtune.errors import InputError
from stemtune.params import Limits

BATCH = 32
# Those of params.yaml; what one clip may take in seconds and memory is for its caller to limit.
LIMITS = Limits(seconds=120, pixels=8192 * 8192, frames=200_000, memory=4096)


class Classifier:
    """Loads a classifier that `models.save` stored.

    Attributes:
        classes: Names, in the order of the probabilities.
        trained_on: Frames like those that it was trained on are shown to it.
    """

    def __init__(self, folder: Path) -> None:
        self.classes: list[str] = files.read_json(folder / models.CLASSES_FILE)
        self.trained_on = models.TrainedOn(**files.read_json(folder / models.TRAINED_ON_FILE))
        self._predict = models.predictor(models.load(folder), self.trained_on.side)

    def frames(self, frames: np.ndarray) -> pd.DataFrame:
        """Returns the probabilities of frames (n, h, w, 3), uint8, RGB: a row each.

        Frames of another side than the classifier's are scaled as those of a clip are.

        Raises:
            InputError: They are of another shape or type, or none.
        """
        if (
            frames.dtype != np.uint8
            or frames.ndim != 4
            or frames.shape[-1] != 3
            or 0 in frames.shape
        ):
            raise InputError(
                "takes frames as an array (n, h, w, 3) of uint8, RGB, n, h and w from 1 on; got "
                f"one of shape {frames.shape} of {frames.dtype}"
            )
        side = self.trained_on.side
        batches = [frames[start : start + BATCH] for start in range(0, len(frames), BATCH)]
        if frames.shape[1:3] != (side, side):
            batches = [video.scale(batch, self.trained_on.size) for batch in batches]
        probabilities = np.concatenate([self._predict(batch) for batch in batches])
        return pd.DataFrame(probabilities, columns=self.classes)

    def clips(self, paths: Sequence[Path]) -> pd.DataFrame:
        """Returns the probabilities of clips: a row each, the mean over the clip's frames.

        As many frames are taken, and where, as of the clips that it was trained on.

        Raises:
            InputError: A clip does not exist or cannot be decoded, or there is none.
        """
        if not paths:
            raise InputError("takes the paths of one clip or more; got none")
        return pd.DataFrame([self.frames(self._sample(path)).mean() for path in paths])

    def _sample(self, path: Path) -> np.ndarray:
        if not path.is_file():
            raise InputError(
                f"there is no clip {path.absolute()}; paths are those of this computer"
            )
        trained_on = self.trained_on
        try:
            sample = video.sample_frames(path, trained_on.frames_per_clip, trained_on.size, LIMITS)
        except video.VideoError as error:
            raise InputError(f"the clip {path.absolute()} {error}") from error
        return sample.frames
