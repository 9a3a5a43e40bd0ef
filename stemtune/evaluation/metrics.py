"""Accuracy on frames and on clips, calibration, paired tests, and how far all of it can be trusted.

Frames of a group are alike, so that bounds are bootstrapped over groups (Efron, 1979): a group
counts as one draw, whatever it has of frames.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

BOUNDS = (2.5, 97.5)
CALIBRATION_BINS = 15


@dataclass(frozen=True)
class Scores:
    """How well a classifier does on test frames; all in [0, 1].

    Attributes:
        test_accuracy: On frames.
        test_accuracy_low: Lower 95% bound of it.
        test_accuracy_high: Upper 95% bound of it.
        clip_accuracy: On clips, whose frames vote.
        calibration_error: Expected calibration error on frames.
    """

    test_accuracy: float
    test_accuracy_low: float
    test_accuracy_high: float
    clip_accuracy: float
    calibration_error: float


@dataclass(frozen=True)
class Difference:
    """How the accuracies of two classifiers on the same test frames differ.

    Attributes:
        difference: Of the accuracies on frames, first less second.
        low: Lower 95% bound of it, by a paired bootstrap over groups.
        high: Upper 95% bound of it.
        first_alone: How many frames only the first got right.
        second_alone: How many frames only the second got right.
        mcnemar_p: McNemar's exact test (1947), which takes every frame for a draw of its own and
            so makes too much of frames that are alike.
    """

    difference: float
    low: float
    high: float
    first_alone: int
    second_alone: int
    mcnemar_p: float


def scores(probabilities: np.ndarray, frames: pd.DataFrame, samples: int, seed: int) -> Scores:
    """Scores a classifier on test frames.

    Args:
        probabilities: (rows, classes), in [0, 1].
        frames: Rows of the frame table, with `clip`, `group` and `label`.
        samples: How often groups are drawn for the bounds.
        seed: Of these draws.
    """
    right = _right(probabilities, frames)
    low, high = _bounds(right, frames["group"].to_numpy(), samples, seed)
    return Scores(
        test_accuracy=float(right.mean()),
        test_accuracy_low=low,
        test_accuracy_high=high,
        clip_accuracy=_clip_accuracy(probabilities, frames),
        calibration_error=calibration_error(calibration(probabilities, frames)),
    )


def compare(
    first: np.ndarray, second: np.ndarray, frames: pd.DataFrame, samples: int, seed: int
) -> Difference:
    """Compares two classifiers that saw the same test frames.

    Args:
        first: Probabilities (rows, classes) of the one.
        second: Probabilities of the other.
        frames: As for `scores`.
        samples: How often groups are drawn, the same ones for both.
        seed: Of these draws.
    """
    one, other = _right(first, frames), _right(second, frames)
    gains = one.astype(int) - other
    low, high = _bounds(gains, frames["group"].to_numpy(), samples, seed)
    first_alone, second_alone = int((gains > 0).sum()), int((gains < 0).sum())
    discordant = first_alone + second_alone
    p = stats.binomtest(first_alone, discordant).pvalue if discordant else 1.0
    return Difference(float(gains.mean()), low, high, first_alone, second_alone, float(p))


def predictions(
    probabilities: np.ndarray, frames: pd.DataFrame, classes: list[str]
) -> pd.DataFrame:
    """Returns a row per frame with its `actual` and its `predicted` class."""
    predicted = [classes[label] for label in probabilities.argmax(axis=1)]
    return pd.DataFrame({"actual": frames["class"].to_numpy(), "predicted": predicted})


def per_class(answers: pd.DataFrame) -> pd.DataFrame:
    """Returns, from `confusion`, each actual `class` with its `frames` and the `accuracy` on them.

    Classes are in the order of their names.
    """
    right = answers["actual"] == answers["predicted"]
    table = right.groupby(answers["actual"]).agg(frames="size", accuracy="mean")
    return table.rename_axis("class").reset_index()


def calibration(probabilities: np.ndarray, frames: pd.DataFrame) -> pd.DataFrame:
    """Sorts answers by their confidence, the probability of the class answered, into equal bins.

    Returns:
        A row per bin that has frames: how many `frames`, and their mean `confidence` and
        `accuracy`. Where the two are equal, the classifier knows what it knows.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    # A float can lie a hair above 1.
    bins = np.ceil(np.minimum(confidence, 1) * CALIBRATION_BINS)
    answers = pd.DataFrame({"confidence": confidence, "accuracy": _right(probabilities, frames)})
    grouped = answers.groupby(bins)
    return grouped.mean().assign(frames=grouped.size()).reset_index(drop=True)


def calibration_error(bins: pd.DataFrame) -> float:
    """Returns the expected calibration error (Guo et al., 2017) of the bins of `calibration`."""
    gaps = (bins["accuracy"] - bins["confidence"]).abs()
    return float(np.average(gaps, weights=bins["frames"]))


def clip_labels(probabilities: np.ndarray, frames: pd.DataFrame) -> pd.Series:
    """Returns the label that the frames of each clip vote for, by clip, in the order of the names.

    Where votes are equal, the mean probability decides.
    """
    votes = np.eye(probabilities.shape[1])[probabilities.argmax(axis=1)]
    # So small that all of a clip's probabilities together weigh less than one vote.
    ballots = pd.DataFrame(votes + probabilities / (len(frames) + 1))
    return ballots.groupby(frames["clip"].to_numpy()).sum().idxmax(axis=1)


def _right(probabilities: np.ndarray, frames: pd.DataFrame) -> np.ndarray:
    return probabilities.argmax(axis=1) == frames["label"].to_numpy()


def _clip_accuracy(probabilities: np.ndarray, frames: pd.DataFrame) -> float:
    labels = frames.groupby("clip")["label"].first().to_numpy()
    return float((clip_labels(probabilities, frames).to_numpy() == labels).mean())


def _bounds(values: np.ndarray, groups: np.ndarray, samples: int, seed: int) -> tuple[float, float]:
    """Returns 95% bounds of the mean over frames when groups are drawn anew."""
    per_group = pd.DataFrame({"sum": values, "frames": 1}).groupby(groups).sum().to_numpy()
    random = np.random.default_rng(seed)
    draws = random.integers(len(per_group), size=(samples, len(per_group)))
    totals = per_group[draws].sum(axis=1)
    low, high = np.percentile(totals[:, 0] / totals[:, 1], BOUNDS)
    return float(low), float(high)
