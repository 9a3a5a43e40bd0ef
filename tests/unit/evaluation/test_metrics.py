"""Accuracy on frames and clips, calibration, comparisons, and bounds that know the groups."""

import numpy as np
import pandas as pd
import pytest

from stemtune.evaluation import metrics


def frame_table(clips: list[str], groups: list[str], labels: list[int]) -> pd.DataFrame:
    classes = ["ab"[label] for label in labels]
    return pd.DataFrame({"clip": clips, "group": groups, "label": labels, "class": classes})


def answering(labels: list[int] | np.ndarray) -> np.ndarray:
    """Returns probabilities of a classifier that is sure of these labels."""
    return np.eye(2)[labels]


def test_frames_count_singly_and_clips_by_their_mean_probability_as_they_are_served() -> None:
    frames = frame_table(["x"] * 3 + ["y"] * 2, ["g"] * 3 + ["h"] * 2, [0, 0, 0, 1, 1])
    right, wrong = [0.6, 0.4], [0.1, 0.9]
    # x: two of three frames say a, and the mean says b. y: one says each, and the mean says a.
    probabilities = np.array([right, right, wrong, [0.2, 0.8], [0.9, 0.1]])
    scores = metrics.scores(probabilities, frames, samples=200, seed=1)
    assert scores["test_accuracy"] == 3 / 5
    assert scores["clip_accuracy"] == scores["clip_accuracy_low"] == 0
    better = metrics.scores(probabilities[:, ::-1], frames, samples=200, seed=1)
    assert better["clip_accuracy"] == better["clip_accuracy_high"] == 1


def test_validation_is_scored_by_accuracy_and_cross_entropy() -> None:
    frames = frame_table(["x", "y", "z"], ["g"] * 3, [0, 0, 1])
    found = metrics.validation_scores(np.array([[0.8, 0.2], [0.4, 0.6], [1, 0]]), frames)
    assert found["validation_accuracy"] == pytest.approx(1 / 3)
    expected = -np.log([0.8, 0.4, 1e-7]).mean()
    assert found["validation_loss"] == pytest.approx(expected)


def test_bounds_widen_when_frames_come_from_few_groups() -> None:
    random = np.random.default_rng(1)
    labels = random.integers(0, 2, 400)
    guessed = np.where(np.repeat(random.random(10) < 0.8, 40), labels, 1 - labels)
    probabilities = np.eye(2)[guessed]
    clips = [f"c{number}" for number in range(400)]

    def width(groups: list[str]) -> float:
        frames = frame_table(clips, groups, labels.tolist())
        scores = metrics.scores(probabilities, frames, samples=500, seed=1)
        assert scores["test_accuracy_low"] <= scores["test_accuracy"]
        assert scores["test_accuracy"] <= scores["test_accuracy_high"]
        return scores["test_accuracy_high"] - scores["test_accuracy_low"]

    assert width([f"g{number // 40}" for number in range(400)]) > 3 * width(clips)
    assert width(clips) == width(clips)


def test_the_calibration_error_is_the_mean_gap_between_confidence_and_accuracy() -> None:
    # Three answers at 0.95, two of them right; one at 0.55, right.
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.05, 0.95], [0.45, 0.55]])
    frames = frame_table(["x"] * 4, ["g"] * 4, [0, 0, 0, 1])
    bins = metrics.calibration(probabilities, frames)
    assert bins["frames"].tolist() == [1, 3]
    assert bins["confidence"].tolist() == pytest.approx([0.55, 0.95])
    assert bins["accuracy"].tolist() == pytest.approx([1, 2 / 3])
    expected = 3 / 4 * (0.95 - 2 / 3) + 1 / 4 * (1 - 0.55)
    assert metrics.calibration_error(bins) == pytest.approx(expected)
    scores = metrics.scores(probabilities, frames, samples=100, seed=1)
    assert scores["calibration_error"] == pytest.approx(expected)


def test_a_confidence_of_one_shares_the_last_bin_whatever_its_rounding() -> None:
    probabilities = np.array([[1, 0], [1.0000001, 0], [0.99, 0.01]], np.float32)
    frames = frame_table(["x"] * 3, ["g"] * 3, [0, 0, 0])
    assert metrics.calibration(probabilities, frames)["frames"].tolist() == [3]


def test_two_classifiers_are_compared_frame_by_frame() -> None:
    labels = [0] * 10
    frames = frame_table(["x"] * 10, [f"g{number}" for number in range(10)], labels)
    # Both right on 2, the first alone on 6, the second alone on 1, neither on 1.
    first = answering([0] * 8 + [1, 1])
    second = answering([0, 0] + [1] * 6 + [0, 1])
    found = metrics.compare(first, second, frames, samples=1000, seed=1)
    assert found.difference == pytest.approx(0.8 - 0.3)
    assert 0 < found.low < found.difference < found.high < 1
    turned = metrics.compare(second, first, frames, samples=1000, seed=1)
    assert turned.difference == -found.difference
    assert turned.low == pytest.approx(-found.high)


def test_equal_answers_show_no_difference() -> None:
    frames = frame_table(["x", "y"], ["g", "h"], [0, 1])
    found = metrics.compare(answering([0, 0]), answering([0, 0]), frames, 200, 1)
    assert (found.difference, found.low, found.high) == (0, 0, 0)


def test_pairing_sees_what_separate_bounds_hide() -> None:
    """A small gain in every group counts, though the groups differ much more from each other."""
    random = np.random.default_rng(3)
    groups = np.repeat([f"g{number}" for number in range(20)], 20)
    hard = np.repeat(random.random(20), 20)
    wrong = (random.random(400) < hard).astype(int)
    first = wrong.copy()
    first[::20] = 0
    frames = frame_table([f"c{number}" for number in range(400)], list(groups), [0] * 400)
    scores = [
        metrics.scores(answering(list(answers)), frames, 1000, 1) for answers in (first, wrong)
    ]
    assert scores[0]["test_accuracy_low"] < scores[1]["test_accuracy_high"]
    assert metrics.compare(answering(first), answering(wrong), frames, 1000, 1).low > 0


def test_each_class_has_its_accuracy() -> None:
    answers = pd.DataFrame({"actual": list("babbb"), "predicted": list("babaa")})
    table = metrics.per_class(answers)
    assert table["class"].tolist() == ["a", "b"]
    assert table["frames"].tolist() == [1, 4]
    assert table["accuracy"].tolist() == [1, 0.5]
