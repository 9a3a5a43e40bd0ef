"""Accuracy on frames and on clips, and how far it can be trusted."""

import numpy as np
import pandas as pd

BOUNDS = (2.5, 97.5)


def scores(
    probabilities: np.ndarray, frames: pd.DataFrame, samples: int, seed: int
) -> dict[str, float]:
    """Scores a classifier on test frames.

    Args:
        probabilities: (rows, classes), in [0, 1].
        frames: Rows of the frame table, with `clip`, `group` and `label`.
        samples: How often groups are drawn for the bounds.
        seed: Of these draws.

    Returns:
        `test_accuracy` on frames with its 95% bounds `test_accuracy_low` and `test_accuracy_high`,
        and `clip_accuracy`, all in [0, 1].
    """
    right = probabilities.argmax(axis=1) == frames["label"].to_numpy()
    low, high = _bounds(right, frames["group"].to_numpy(), samples, seed)
    return {
        "test_accuracy": float(right.mean()),
        "test_accuracy_low": low,
        "test_accuracy_high": high,
        "clip_accuracy": _clip_accuracy(probabilities, frames),
    }


def confusion(probabilities: np.ndarray, frames: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """Returns a row per frame with its `actual` and its `predicted` class."""
    predicted = [classes[label] for label in probabilities.argmax(axis=1)]
    return pd.DataFrame({"actual": frames["class"].to_numpy(), "predicted": predicted})


def _clip_accuracy(probabilities: np.ndarray, frames: pd.DataFrame) -> float:
    """Lets the frames of a clip vote; where votes are equal, the mean probability decides."""
    votes = np.eye(probabilities.shape[1])[probabilities.argmax(axis=1)]
    # So small that all of a clip's probabilities together weigh less than one vote.
    ballots = pd.DataFrame(votes + probabilities / (len(frames) + 1))
    elected = ballots.groupby(frames["clip"].to_numpy()).sum().to_numpy().argmax(axis=1)
    labels = frames.groupby("clip")["label"].first().to_numpy()
    return float((elected == labels).mean())


def _bounds(right: np.ndarray, groups: np.ndarray, samples: int, seed: int) -> tuple[float, float]:
    """Bootstraps over groups (Efron, 1979): frames of a group are alike and count as one draw."""
    per_group = pd.DataFrame({"right": right, "frames": 1}).groupby(groups).sum().to_numpy()
    random = np.random.default_rng(seed)
    draws = random.integers(len(per_group), size=(samples, len(per_group)))
    totals = per_group[draws].sum(axis=1)
    low, high = np.percentile(totals[:, 0] / totals[:, 1], BOUNDS)
    return float(low), float(high)
