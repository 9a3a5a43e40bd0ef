"""Accuracy on frames and clips, and bounds that know how few groups there are."""

import numpy as np
import pandas as pd

from stemtune import evaluation


def frame_table(clips: list[str], groups: list[str], labels: list[int]) -> pd.DataFrame:
    classes = ["ab"[label] for label in labels]
    return pd.DataFrame({"clip": clips, "group": groups, "label": labels, "class": classes})


def test_frames_count_singly_and_clips_by_vote() -> None:
    frames = frame_table(["x"] * 3 + ["y"] * 2, ["g"] * 3 + ["h"] * 2, [0, 0, 0, 1, 1])
    right, wrong = [0.6, 0.4], [0.1, 0.9]
    # x: two of three vote a, though the mean says b. y: one vote each, and the mean says a.
    probabilities = np.array([right, right, wrong, [0.2, 0.8], [0.9, 0.1]])
    scores = evaluation.scores(probabilities, frames, samples=200, seed=1)
    assert scores["test_accuracy"] == 3 / 5
    assert scores["clip_accuracy"] == 1 / 2


def test_bounds_widen_when_frames_come_from_few_groups() -> None:
    random = np.random.default_rng(1)
    labels = random.integers(0, 2, 400)
    guessed = np.where(np.repeat(random.random(10) < 0.8, 40), labels, 1 - labels)
    probabilities = np.eye(2)[guessed]
    clips = [f"c{number}" for number in range(400)]

    def width(groups: list[str]) -> float:
        frames = frame_table(clips, groups, labels.tolist())
        scores = evaluation.scores(probabilities, frames, samples=500, seed=1)
        assert scores["test_accuracy_low"] <= scores["test_accuracy"]
        assert scores["test_accuracy"] <= scores["test_accuracy_high"]
        return scores["test_accuracy_high"] - scores["test_accuracy_low"]

    assert width([f"g{number // 40}" for number in range(400)]) > 3 * width(clips)
    assert width(clips) == width(clips)
