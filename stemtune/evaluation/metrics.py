"""Accuracy on frames and on clips with 95% confidence intervals, calibration, paired differences.

Frames of a group are alike, so groups are drawn: for the intervals of accuracies as intervals.py
does. How a file differs from the model that it is made of is described by a paired percentile
bootstrap (Efron, 1979); no verdict depends on it.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from stemtune.evaluation import intervals
from stemtune.evaluation.intervals import Draws

CALIBRATION_BINS = 15
# Below it a probability counts as 0, whose loss would be infinite; Keras' own limit.
LEAST = 1e-7
PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True)
class Difference:
    """How the accuracies of two classifiers on the same test frames differ.

    Attributes:
        difference: Of the accuracies on frames, first less second.
        low: Lower end of its 95% confidence interval, by a paired bootstrap over groups.
        high: Upper end of its interval.
    """

    difference: float
    low: float
    high: float


def scores(
    probabilities: np.ndarray, frames: pd.DataFrame, samples: int, seed: int
) -> dict[str, float]:
    """Returns how well a classifier does on test frames, by names of `ModelMetrics`.

    Args:
        probabilities: (rows, classes), in [0, 1].
        frames: Rows of the frame table, with `clip`, `group` and `label`.
        samples: How often groups are drawn for the confidence intervals.
        seed: Of these draws.
    """
    right = _right(probabilities, frames)
    clips = frames.groupby("clip")[["group", "label"]].first()
    answered = clip_probabilities(probabilities, frames).idxmax(axis=1)
    clips_right = answered.to_numpy() == clips["label"].to_numpy()
    found = {"calibration_error": calibration_error(calibration(probabilities, frames))}
    for name, values, groups in (
        ("test_accuracy", right, frames["group"]),
        ("clip_accuracy", clips_right, clips["group"]),
    ):
        ends = intervals.of_means(values[:, None], groups.to_numpy(), (0, 1), Draws(samples, seed))
        low, high = float(ends.low[0]), float(ends.high[0])
        found |= {name: float(values.mean()), f"{name}_low": low, f"{name}_high": high}
    return found


def validation_scores(probabilities: np.ndarray, frames: pd.DataFrame) -> dict[str, float]:
    """Returns accuracy and mean cross-entropy on validation frames, by names of `ModelMetrics`."""
    return {
        "validation_accuracy": float(_right(probabilities, frames).mean()),
        "validation_loss": cross_entropy(probabilities, frames["label"].to_numpy()),
    }


def cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Returns the mean cross-entropy of probabilities (rows, classes) with labels (rows,)."""
    of_label = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(of_label, LEAST, dtype=np.float64)).mean())


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
    low, high = _percentiles(gains, frames["group"].to_numpy(), Draws(samples, seed))
    return Difference(float(gains.mean()), low, high)


def predictions(
    probabilities: np.ndarray, frames: pd.DataFrame, classes: list[str]
) -> pd.DataFrame:
    """Returns a row per frame with its `actual` and its `predicted` class."""
    predicted = [classes[label] for label in probabilities.argmax(axis=1)]
    return pd.DataFrame({"actual": frames["class"].to_numpy(), "predicted": predicted})


def per_class(answers: pd.DataFrame) -> pd.DataFrame:
    """Returns each actual `class` of `predictions`, by name, with its `frames` and `accuracy`."""
    right = answers["actual"] == answers["predicted"]
    table = right.groupby(answers["actual"]).agg(frames="size", accuracy="mean")
    return table.rename_axis("class").reset_index()


def calibration(probabilities: np.ndarray, frames: pd.DataFrame) -> pd.DataFrame:
    """Sorts answers by their confidence, the probability of the class answered, into equal bins.

    Returns:
        A row per bin that has frames: how many `frames`, and their mean `confidence` and
        `accuracy`. If the two are equal, the classifier is calibrated.
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


def clip_probabilities(probabilities: np.ndarray, frames: pd.DataFrame) -> pd.DataFrame:
    """Returns the mean probabilities of each clip's frames, by clip, in the order of the names."""
    return pd.DataFrame(probabilities.astype(np.float64)).groupby(frames["clip"].to_numpy()).mean()


def _right(probabilities: np.ndarray, frames: pd.DataFrame) -> np.ndarray:
    return probabilities.argmax(axis=1) == frames["label"].to_numpy()


def _percentiles(values: np.ndarray, groups: np.ndarray, draws: Draws) -> tuple[float, float]:
    """Returns the 95% confidence interval of the mean over frames; groups are drawn."""
    per_group = pd.DataFrame({"sum": values, "frames": 1}).groupby(groups).sum().to_numpy()
    random = np.random.default_rng(draws.seed)
    drawn = random.integers(len(per_group), size=(draws.samples, len(per_group)))
    totals = per_group[drawn].sum(axis=1)
    low, high = np.percentile(totals[:, 0] / totals[:, 1], PERCENTILES)
    return float(low), float(high)
