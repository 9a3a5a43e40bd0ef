"""What a model answers for clips if it looks at one, some or all of their frames."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from stemtune.core.errors import InputError
from stemtune.evaluation import metrics

# The numbers of frames that candidates look at, besides all.
FEW = (1, 2)


@dataclass(frozen=True)
class ClipAnswers:
    """Answers for clips, in the order of the clips' names.

    Attributes:
        clips: Names, (clips,).
        probabilities: Mean over the frames looked at, (clips, classes), in [0, 1].
        frames: How many were looked at, (clips,).
    """

    clips: np.ndarray
    probabilities: np.ndarray
    frames: np.ndarray

    @property
    def confidence(self) -> np.ndarray:
        """The highest probability of each clip, (clips,)."""
        return self.probabilities.max(axis=1)

    def some(self, chosen: np.ndarray) -> "ClipAnswers":
        """Returns the answers for the chosen clips, (clips,), bool."""
        return ClipAnswers(self.clips[chosen], self.probabilities[chosen], self.frames[chosen])

    def right(self, truth: pd.DataFrame) -> np.ndarray:
        """Returns whether each clip's answer is right, (clips,).

        Args:
            truth: As `truth` returns it.

        Raises:
            InputError: It is about other clips.
        """
        if list(truth.index) != list(self.clips):
            other = sorted(set(truth.index) ^ set(self.clips))
            raise InputError(
                f"the answers and the manifest name different clips: {other[:3]} "
                f"({len(other)} in all); `dvc repro evaluate` makes the answers again"
            )
        return self.probabilities.argmax(axis=1) == truth["label"].to_numpy()

    def loss(self, truth: pd.DataFrame) -> float:
        """Returns the mean cross-entropy over the clips; a probability of 0 counts as 1e-7.

        Args:
            truth: As `truth` returns it, about the same clips.
        """
        return metrics.cross_entropy(self.probabilities, truth["label"].to_numpy())


def truth(frames: pd.DataFrame, split: str) -> pd.DataFrame:
    """Returns `group` and `label` of each clip of a split, by clip, in the order of the names.

    Args:
        frames: The frame table.
        split: validation or test.
    """
    return frames[frames["split"] == split].groupby("clip")[["group", "label"]].first()


def of_frames(predictions: pd.DataFrame, frames: int | None) -> ClipAnswers:
    """Returns a candidate's answers for clips.

    Args:
        predictions: Its rows of one split, as a file of predictions/ has them.
        frames: How many frames of a clip are looked at, see `looked_at`; None: all.
    """
    rows = predictions.sort_values(["clip", "frame"], kind="stable")
    by_clip = rows.groupby("clip")["frame"]
    available, position = by_clip.transform("size"), by_clip.cumcount()
    chosen = {number: set(looked_at(number, frames)) for number in available.unique()}
    looked = [place in chosen[number] for number, place in zip(available, position, strict=True)]
    kept = rows[looked]
    answers = pd.DataFrame(np.stack([*kept["probabilities"]]).astype(np.float64))
    by_name = answers.groupby(kept["clip"].to_numpy())
    means = by_name.mean()
    return ClipAnswers(means.index.to_numpy(), means.to_numpy(), by_name.size().to_numpy())


def numbers(frames: pd.DataFrame) -> list[int]:
    """Returns how many frames of a clip candidates look at, rising: one, two, and all.

    Args:
        frames: The frame table; all is what its longest clip has, which is one of stills.
    """
    most = int(frames.groupby("clip").size().max())
    return sorted({number for number in (*FEW, most) if number <= most})


def looked_at(available: int, frames: int | None) -> list[int]:
    """Returns which frames of a clip are looked at, counted from 0.

    The clip is divided into `frames` equal spans, and the frame at the middle of each is taken; of
    two that are equally near, the later. So one frame is that in the middle of the clip.

    Args:
        available: How many frames there are.
        frames: How many are to be looked at; None, or more than there are: all.
    """
    if frames is None or frames >= available:
        return [*range(available)]
    return [(2 * span + 1) * available // (2 * frames) for span in range(frames)]
