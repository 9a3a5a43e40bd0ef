"""Intervals over groups: exact where theory is, wide where little is known."""

import numpy as np
import pytest
from scipy import stats

from stemtune.evaluation import intervals
from stemtune.evaluation.intervals import Draws

DRAWS = Draws(20_000, 1)


@pytest.mark.parametrize("right", [0, 3, 20])
def test_shares_of_single_clips_have_the_exact_interval(right: int) -> None:
    values = (np.arange(20) < right).astype(float)[:, None]
    found = intervals.of_means(values, np.arange(20), (0, 1), DRAWS)
    exact = stats.binomtest(right, 20).proportion_ci(0.95, "exact")
    assert found.estimate[0] == right / 20
    assert (found.low[0], found.high[0]) == pytest.approx((exact.low, exact.high), abs=0.01)


def test_copies_of_a_clip_tell_no_more_than_the_clip() -> None:
    gains = np.repeat([0, 0, 1, -1, 0, 0, 0, 1, 0, 0], 1)[:, None]
    alone = intervals.of_means(gains, np.arange(10), (-1, 1), DRAWS)
    copied = intervals.of_means(
        np.repeat(gains, 7, axis=0), np.repeat(np.arange(10), 7), (-1, 1), DRAWS
    )
    assert copied.low == pytest.approx(alone.low)
    assert copied.high == pytest.approx(alone.high)


def test_many_clips_give_the_interval_of_the_normal_distribution() -> None:
    gains = np.random.default_rng(1).choice([-1, 0, 1], (2000, 1), p=[0.1, 0.8, 0.1])
    found = intervals.of_means(gains, np.arange(2000), (-1, 1), Draws(4000, 1))
    error = gains.std() / np.sqrt(2000)
    assert found.low[0] == pytest.approx(gains.mean() - 1.96 * error, abs=0.002)
    assert found.high[0] == pytest.approx(gains.mean() + 1.96 * error, abs=0.002)


def test_intervals_that_hold_together_are_wider() -> None:
    gains = np.random.default_rng(1).choice([-1, 0, 1], (60, 2))
    alone = intervals.of_means(gains, np.arange(60), (-1, 1), DRAWS)
    together = intervals.of_means(gains, np.arange(60), (-1, 1), DRAWS, comparisons=8)
    assert (together.low < alone.low).all()
    assert (together.high > alone.high).all()


def test_as_many_groups_as_are_said_to_be_needed_settle_it() -> None:
    # Without any loss seen, ln(0.025) / ln(0.95) = 72 groups show that less than 5% are lost.
    assert intervals.groups_needed(np.zeros(9), np.arange(9), -0.05, 1) == pytest.approx(72, abs=6)
    assert intervals.groups_needed(np.zeros(9), np.arange(9), 0.0, 1) == 0
    lost = np.array([-1, 0, 0, 0, 0])
    needed = intervals.groups_needed(lost, np.arange(5), -0.05, 1)
    found = intervals.of_means(np.resize(lost, needed)[:, None], np.arange(needed), (-1, 1), DRAWS)
    assert found.high[0] < -0.03
