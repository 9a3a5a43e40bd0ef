"""How often verdicts are wrong, by simulation: with the rules used before, and with those of now.

Clips of a group are alike, and so are the answers of the models. Rates in percent of simulated
projects; a right rule is wrong in at most 2.5% of them, the nominal rate.

Run: python -m bench.verdicts [--projects 1000]
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import stats
from tabulate import tabulate

from stemtune.evaluation import intervals
from stemtune.evaluation.intervals import LEVEL, Draws

GROUPS = (2, 3, 5, 10, 20, 50, 100, 200)
# Clips in a group, in turns.
SIZES = (2, 4, 6)
TAIL = (1 - LEVEL) / 2
SAMPLES = 1000

# From differences (clips, columns), groups (clips,) and the number of comparisons to lower ends.
Bound = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class Scenario:
    """What is true of the models.

    Attributes:
        name: For people.
        accuracy: Of the reference.
        loss: What each candidate truly loses.
        max_loss: What it may lose; a verdict that it loses less is wrong.
        alike: Share of clips that share their group's fate; 1: a group is won or lost whole.
        shared: Share of difficulties that are the same for all models.
        candidates: How many.
        chosen: Whether one is chosen on validation before it is judged on test.
    """

    name: str
    accuracy: float
    loss: float
    max_loss: float
    alike: float
    shared: float
    candidates: int
    chosen: bool


SCENARIOS = (
    Scenario("equal, 1 candidate: is better", 0.7, 0.0, 0.0, 0.5, 0.2, 1, False),
    Scenario("equal, 8 candidates: one is better", 0.7, 0.0, 0.0, 0.5, 0.2, 8, False),
    Scenario("1 loses 5 points in whole groups: < 5", 0.97, 0.05, 0.05, 1.0, 0.95, 1, False),
    Scenario("8 lose 5 points: one < 5", 0.97, 0.05, 0.05, 0.5, 0.9, 8, True),
    Scenario("8 lose 5 points in whole groups: one < 5", 0.97, 0.05, 0.05, 1.0, 0.95, 8, True),
    Scenario("RIGHT: 8 lose nothing: one < 5", 0.98, 0.0, 0.05, 0.5, 0.9, 8, True),
)


def answers(
    scenario: Scenario, groups: int, projects: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Returns whether answers are right, (clips, projects, 1 + candidates), and the clips' groups.

    The reference comes first. A clip's difficulty is its group's, or its own; a model gets right
    those below its accuracy.
    """
    numbers = np.repeat(np.arange(groups), np.resize(SIZES, groups))
    accuracies = scenario.accuracy - scenario.loss * (np.arange(scenario.candidates + 1) > 0)

    def difficulties(rows: int) -> np.ndarray:
        own = random.random((rows, projects, len(accuracies)), dtype=np.float32)
        common = random.random((rows, projects, 1), dtype=np.float32)
        is_common = random.random((rows, projects, 1), dtype=np.float32) < scenario.shared
        return np.where(is_common, common, own)

    of_group = random.random((len(numbers), projects, 1), dtype=np.float32) < scenario.alike
    found = np.where(of_group, difficulties(groups)[numbers], difficulties(len(numbers)))
    return found < accuracies, numbers


def gains(
    scenario: Scenario, groups: int, projects: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Returns gains over the reference, (clips, projects, candidates), and the clips' groups."""
    right, numbers = answers(scenario, groups, projects, random)
    return right[..., 1:].astype(np.int8) - right[..., :1], numbers


def bounded(values: np.ndarray, groups: np.ndarray, comparisons: int) -> np.ndarray:
    """Returns the lower ends of now."""
    return intervals.of_means(values, groups, (-1, 1), Draws(SAMPLES, 1), comparisons).low


def percentile(values: np.ndarray, groups: np.ndarray, comparisons: int) -> np.ndarray:
    """Returns the lower ends of before: percentiles, not corrected for several comparisons."""
    return np.quantile(_resampled(values, groups)[0], TAIL, axis=0)


def studentized(values: np.ndarray, groups: np.ndarray, comparisons: int) -> np.ndarray:
    """Returns studentized lower ends (Efron and Tibshirani, 1993, chapter 12)."""
    means, errors = _resampled(values, groups)
    _, sizes = np.unique(groups, return_counts=True)
    mean, error = _ratio(np.ones((1, len(sizes))), _sums(values, groups), sizes)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(means == mean, 0.0, (means - mean) / errors)
        far = np.quantile(ratios, 1 - TAIL / comparisons, axis=0, method="higher")
        return np.where(error[0] > 0, mean[0] - far * error[0], mean[0])


def bca(values: np.ndarray, groups: np.ndarray, comparisons: int) -> np.ndarray:
    """Returns bias-corrected and accelerated lower ends (Efron, 1987)."""
    means = np.sort(_resampled(values, groups)[0], axis=0)
    mean, sums = values.mean(axis=0), _sums(values, groups)
    _, sizes = np.unique(groups, return_counts=True)
    below = (means < mean).mean(axis=0) + (means == mean).mean(axis=0) / 2
    bias = stats.norm.ppf(np.clip(below, 1 / SAMPLES, 1 - 1 / SAMPLES))
    far = sums - sizes[:, None] * mean
    skew = (far**3).sum(axis=0) / (6 * np.maximum((far**2).sum(axis=0), 1e-12) ** 1.5)
    z = bias + stats.norm.ppf(TAIL / comparisons)
    place = stats.norm.cdf(bias + z / (1 - skew * z))
    return means[np.minimum((place * SAMPLES).astype(int), SAMPLES - 1), np.arange(len(mean))]


def judged_on_test(scenario: Scenario, groups: int, projects: int, bound: Bound) -> float:
    """Returns how often any candidate is above -max_loss, all of them compared on one test set."""
    found, numbers = gains(scenario, groups, projects, np.random.default_rng(groups))
    low = bound(found.reshape(len(found), -1), numbers, scenario.candidates)
    return float((low.reshape(projects, -1) > -scenario.max_loss).any(axis=1).mean())


def confirmed(scenario: Scenario, groups: int, projects: int, bound: Bound) -> float:
    """Returns how often test confirms any candidate, as `verdicts.recommend` judges them.

    The candidates are by rising price. The loss of each is taken to be lower than that of all that
    are cheaper, so all acceptable ones are judged.
    """
    random = np.random.default_rng(groups)
    found, numbers = gains(scenario, groups, projects, random)
    low = bound(found.reshape(len(found), -1), numbers, 1).reshape(projects, -1)
    acceptable = low > -scenario.max_loss
    found, numbers = gains(scenario, groups, projects, random)
    confirmed = np.zeros(projects, bool)
    is_first = (np.cumsum(acceptable, axis=1) == 1) & acceptable
    counts = acceptable.sum(axis=1)
    for count in np.unique(counts[counts > 0]):
        # The first one at half of the error, the others at a share of the other half.
        for chosen, comparisons in (
            (is_first, min(count, 2)),
            (acceptable & ~is_first, 2 * count - 2),
        ):
            chosen = chosen & (counts == count)[:, None]
            if chosen.any():
                low = bound(found[:, chosen], numbers, int(comparisons))
                confirmed[np.nonzero(chosen)[0][low > -scenario.max_loss]] = True
    return float(confirmed.mean())


def advised_before(scenario: Scenario, groups: int, projects: int) -> float:
    """Returns how often the candidate best on validation is above -max_loss by its estimate."""
    random = np.random.default_rng(groups)
    validation, test = (gains(scenario, groups, projects, random)[0].mean(axis=0) for _ in "vt")
    chosen = test[np.arange(projects), validation.argmax(axis=1)]
    return float((chosen >= -scenario.max_loss).mean())


def rows(groups: Sequence[int], projects: int) -> Iterator[list[str | float]]:
    """Yields, by scenario and rule, the rates in percent for each number of groups."""
    for scenario in SCENARIOS:
        rules: dict[str, Callable[[int], float]] = {}
        if scenario.max_loss:
            rules["before: estimate on test"] = partial(advised_before, scenario, projects=projects)
        judge = confirmed if scenario.chosen else judged_on_test
        for name, bound in BOUNDS.items():
            rules[name] = partial(judge, scenario, projects=projects, bound=bound)
        for name, rule in rules.items():
            yield [scenario.name, name, *(100 * rule(number) for number in groups)]


BOUNDS: dict[str, Bound] = {
    "before: percentiles": percentile,
    "studentized": studentized,
    "BCa": bca,
    "now: Gaffke's bound": bounded,
}


def _sums(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    return np.add.reduceat(values.astype(float), np.unique(groups, return_index=True)[1], axis=0)


def _resampled(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns means and their standard errors, each (samples, columns), of groups drawn."""
    _, sizes = np.unique(groups, return_counts=True)
    weights = np.random.default_rng(1).multinomial(
        len(sizes), np.full(len(sizes), 1 / len(sizes)), SAMPLES
    )
    return _ratio(weights.astype(float), _sums(values, groups), sizes)


def _ratio(
    weights: np.ndarray, sums: np.ndarray, sizes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns ratios of sums and sizes, and their errors (Cochran, 1977, chapter 2)."""
    clips = (weights @ sizes)[:, None]
    means = weights @ sums / clips
    squares = (
        weights @ sums**2
        - 2 * means * (weights @ (sums * sizes[:, None]))
        + means**2 * (weights @ sizes**2)[:, None]
    )
    number = len(sizes)
    return means, np.sqrt(np.maximum(squares, 0) * number / max(number - 1, 1)) / clips


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--projects", type=int, default=1000, help="simulated projects per cell")
    given = parser.parse_args()
    headers = ["truth: verdict", "rule", *(f"{number} groups" for number in GROUPS)]
    found = rows(GROUPS, given.projects)
    print(tabulate(found, headers, tablefmt="github", floatfmt=".1f"))


if __name__ == "__main__":
    main()
