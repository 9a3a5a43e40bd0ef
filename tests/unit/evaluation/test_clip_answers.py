"""Answers for clips of which some frames are looked at, and cascades of two models."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stemtune.core.errors import InputError
from stemtune.evaluation import cascades, clip_answers, predictions, prices
from stemtune.evaluation.cascades import Cascade
from stemtune.evaluation.clip_answers import ClipAnswers
from stemtune.evaluation.prices import Point, Price


@pytest.mark.parametrize(
    ("available", "frames", "looked"),
    [(4, 1, [2]), (5, 1, [2]), (4, 2, [1, 3]), (6, 2, [1, 4]), (1, 2, [0]), (3, None, [0, 1, 2])],
)
def test_frames_are_spread_evenly(available: int, frames: int | None, looked: list[int]) -> None:
    assert clip_answers.looked_at(available, frames) == looked


def test_stored_predictions_give_answers_by_number_of_frames(tmp_path: Path) -> None:
    # The shard's frames of clip b come first; a still has one frame.
    table = pd.DataFrame(
        {
            "clip": ["b", "b", "b", "b", "a", "c"],
            "index": [0, 1, 2, 3, 0, 0],
            "split": ["test"] * 5 + ["validation"],
            "group": ["g", "g", "g", "g", "h", "i"],
            "label": [0, 0, 0, 0, 1, 1],
        }
    )
    first = np.array([0.9, 0.2, 0.4, 0.8, 0.1])
    predictions.write(tmp_path, "small", table, {"test": np.stack([first, 1 - first], axis=1)})
    stored = pd.read_parquet(tmp_path / "small.parquet")
    truth = clip_answers.truth(table, "test")
    one, two, every = (clip_answers.of_frames(stored, number) for number in (1, 2, None))
    assert list(every.clips) == ["a", "b"]
    assert one.probabilities[:, 0] == pytest.approx([0.1, 0.4])
    assert two.probabilities[:, 0] == pytest.approx([0.1, 0.5])
    assert every.probabilities[:, 0] == pytest.approx([0.1, 0.575])
    assert [list(each.right(truth)) for each in (one, every)] == [[True, False], [True, True]]
    assert prices.of_answers(two, 3.0) == Price(4.5, 6.0)
    with pytest.raises(ValueError, match=r"different clips: \['a', 'b', 'c'\]"):
        every.right(clip_answers.truth(table, "validation"))


def answers(first: list[float], frames: int) -> ClipAnswers:
    names = np.array([f"clip {number}" for number in range(len(first))])
    share = np.array(first)
    return ClipAnswers(names, np.stack([share, 1 - share], axis=1), np.full(len(names), frames))


def test_a_cascade_asks_for_no_more_than_it_takes_to_be_as_good_as_the_full_model() -> None:
    # All are of the first class; the small model gets clips 1 and 3 wrong, the full one clip 4.
    small, full = answers([0.9, 0.3, 0.6, 0.45, 0.95], 1), answers([1, 1, 1, 1, 0.2], 4)
    truth = pd.DataFrame({"group": "g", "label": 0}, index=small.clips)
    threshold = cascades.threshold(small, full, truth)
    # Asking for clip 3 alone gives as many as the full model has, which gets clip 4 wrong.
    assert threshold == pytest.approx((0.55 + 0.6) / 2)
    asked = cascades.asked(small, threshold)
    assert list(asked) == [False, False, False, True, False]
    together = cascades.answers(small, full, threshold)
    assert together.right(truth).sum() == full.right(truth).sum() == 4
    assert list(together.frames) == [1, 1, 1, 5, 1]
    price = prices.of_cascade(small, full, asked, 1.0, 10.0)
    assert price == Price(1 + 40 / 5, 41)


@pytest.mark.parametrize(("full", "threshold"), [([0.1, 0.1], 0.0), ([0.9, 0.9], 1.0)])
def test_a_cascade_may_ask_never_or_always(full: list[float], threshold: float) -> None:
    small = answers([0.4, 0.0] if threshold else [0.6, 0.6], 1)
    truth = pd.DataFrame({"group": "g", "label": 0}, index=small.clips)
    assert cascades.threshold(small, answers(full, 1), truth) == threshold
    assert cascades.asked(small, threshold).all() == bool(threshold)


def test_equally_sure_clips_are_asked_for_together() -> None:
    small, full = answers([0.6, 0.4, 0.4, 0.8], 1), answers([0.9] * 4, 1)
    truth = pd.DataFrame({"group": "g", "label": 0}, index=small.clips)
    threshold = cascades.threshold(small, full, truth)
    assert list(cascades.asked(small, threshold)) == [True, True, True, False]


def test_a_cascade_is_stored_beside_its_exports(tmp_path: Path) -> None:
    cascade = Cascade(
        small="retrained_128.tflite",
        full="baseline.tflite",
        threshold=0.8,
        small_frames=1,
        full_frames=4,
    )
    path = cascades.write(tmp_path, "quick", cascade)
    assert path.name == "quick.cascade.json"
    assert cascades.read(path) == cascade
    path.write_text(path.read_text(encoding="utf-8").replace("0.8", "1.8").replace("base", "../"))
    with pytest.raises(InputError, match=r"(?s)full: .*'\.\./line\.tflite'.*threshold: .*1\.8"):
        cascades.read(path)


def test_the_front_leaves_out_what_another_one_beats() -> None:
    points = {
        "full": Point(9.0, 0.99),
        "same": Point(9.0, 0.99),
        "small": Point(3.0, 0.9),
        "slow": Point(4.0, 0.9),
        "worse": Point(3.0, 0.8),
        "middle": Point(5.0, 0.95),
    }
    assert prices.front(points) == ["small", "middle", "full"]
