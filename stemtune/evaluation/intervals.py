"""Confidence intervals of shares of clips, and of their differences, if clips of a group are alike.

Groups are drawn, not clips (Efron, 1979), and weighted as by the Bayesian bootstrap (Rubin, 1981).
One unseen group is added: as bad as a group can be for the lower end, as good for the upper. This
is the bound of Gaffke (2005) for means of bounded variables. For shares of single clips it is the
exact interval of Clopper and Pearson (1934). In general it is a conjecture without a known
counterexample (Learned-Miller and Thomas, 2019, arXiv:1905.06208).

If groups differ in size, the unseen one is as large as the group of a random clip, which follows
from Kish's effective number of groups (1965). It takes size and outcome to be independent.

Percentile, studentized and BCa intervals know only losses that were seen. If groups are few, or
losses rare, they are far too narrow: `python -m bench.verdicts` counts how often each is wrong.
"""

from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
# Draws at a time, which bounds memory.
BLOCK = 1000
# At least, for ends that do not hang on one draw.
DRAWS_OF_A_COMPARISON = 200
# Enough for an estimate of two digits; and how often larger data are still thought of.
ESTIMATE_SAMPLES, LARGEST = 1000, 512


@dataclass(frozen=True)
class Intervals:
    """Means over clips with their intervals, each (columns,).

    Attributes:
        estimate: The means.
        low: Lower ends.
        high: Upper ends.
    """

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Draws:
    """How groups are drawn: how often, and the seed."""

    samples: int
    seed: int


def of_means(
    values: np.ndarray,
    groups: np.ndarray,
    extremes: tuple[float, float],
    draws: Draws,
    comparisons: int = 1,
    times: float = 1.0,
) -> Intervals:
    """Returns 95% confidence intervals of the mean of each column; the draws are shared.

    Args:
        values: (clips, columns).
        groups: Of the clips, (clips,).
        extremes: The least and the largest value that a clip can have: (0, 1) for shares, (-1, 1)
            for differences of shares.
        draws: More are made if there are many comparisons.
        comparisons: How many intervals hold together with 95% (Bonferroni).
        times: How often each group is there, to see the intervals that more clips would give.
    """
    sums, sizes = _by_group(values, groups)
    worst, best = extremes
    unseen_size = (sizes**2).sum() / sizes.sum()
    random = np.random.default_rng(draws.seed)
    samples = max(draws.samples, DRAWS_OF_A_COMPARISON * comparisons)
    lower, upper = np.empty((2, samples, values.shape[1]))
    for start in range(0, samples, BLOCK):
        rows = slice(start, min(start + BLOCK, samples))
        weights = random.gamma(times, size=(rows.stop - start, len(sizes)))
        unseen = unseen_size * random.exponential(size=(rows.stop - start, 1))
        clips, drawn = (weights @ sizes)[:, None] + unseen, weights @ sums
        lower[rows] = (drawn + worst * unseen) / clips
        upper[rows] = (drawn + best * unseen) / clips
    tail = (1 - LEVEL) / 2 / comparisons
    return Intervals(
        estimate=values.mean(axis=0),
        low=np.quantile(lower, tail, axis=0, method="lower"),
        high=np.quantile(upper, 1 - tail, axis=0, method="higher"),
    )


def groups_needed(differences: np.ndarray, groups: np.ndarray, limit: float, seed: int) -> int:
    """Estimates how many groups settle whether a mean difference is above or below a limit.

    More groups are taken to be like those seen. Two digits of it are meant.

    Args:
        differences: Of shares, per clip, (clips,).
        groups: Of the clips, (clips,).
        limit: In (-1, 1).
        seed: Of the draws.

    Returns:
        The number of groups, those seen included; 0 if 512 times as many would not do.
    """
    sign = 1 if differences.mean() > limit else -1
    values, draws = sign * differences[:, None], Draws(ESTIMATE_SAMPLES, seed)

    def settles(times: float) -> bool:
        return of_means(values, groups, (-1, 1), draws, times=times).low[0] > sign * limit

    short, enough = 1.0, 1.0
    while not settles(enough):
        short, enough = enough, 2 * enough
        if enough > LARGEST:
            return 0
    while enough - short > 0.01 * enough:
        middle = (short + enough) / 2
        short, enough = (short, middle) if settles(middle) else (middle, enough)
    return int(np.ceil(enough * len(np.unique(groups))))


def _by_group(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the sums over each group's clips (groups, columns), and how many clips it has."""
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(codes, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    return np.add.reduceat(values[order].astype(np.float64), starts, axis=0), sizes.astype(float)
