"""The recommendation: which candidate to run instead of the best full-size model, if any.

Candidates are chosen on validation and judged on test. "Lower end above -max_loss" is a test of
non-inferiority at 2.5%. If several are acceptable on validation, the preferred one is judged at
half of that, and safer ones share the other half (weighted Bonferroni). So all verdicts together
are wrong in at most 2.5%, and the preferred one does not pay for the number of the others. A single
one needs no correction, as the choice saw nothing of test (Cox, "A note on data-dependent choice of
hypotheses", Biometrika 1975).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stemtune.evaluation import intervals, prices
from stemtune.evaluation.advice import (
    CONFIRMED,
    NOT_CONFIRMED,
    TOO_FEW,
    Cost,
    Difference,
    Recommendation,
)
from stemtune.evaluation.intervals import Draws
from stemtune.evaluation.prices import Point, Price
from stemtune.store.manifest import TEST, VALIDATION

# Measured times of one network differ by such a share.
NOISE = 0.02
# Candidates that a warning names.
NAMED = 4


@dataclass(frozen=True)
class Measured:
    """A candidate, with its price and its answers.

    Attributes:
        name: Of the candidate.
        price: Of a clip; a cascade's by validation clips, as the choice must not see test.
        full_size: Whether it may be the reference: all frames, of full size, not quantized.
        loss: Mean cross-entropy of its answers for validation clips.
        right: By split, whether the answer for each clip is right, (clips,); a cascade's on
            validation as `cascades.held_out` has it.
    """

    name: str
    price: Price
    full_size: bool
    loss: float
    right: Mapping[str, np.ndarray]

    def accuracy(self, split: str) -> float:
        """Returns the share of a split's clips that it gets right."""
        return float(self.right[split].mean())


@dataclass(frozen=True)
class Limits:
    """Limits for a candidate, and how it is judged.

    Attributes:
        max_loss: The clip accuracy that a cheaper candidate may lose, in [0, 1].
        budget_ms: Milliseconds a clip at most; None: any. Below it accuracy counts, not price.
        min_groups: Fewer in validation or in test: no verdict.
        draws: For the intervals.
    """

    max_loss: float
    budget_ms: float | None
    min_groups: int
    draws: Draws


def recommend(
    candidates: Sequence[Measured],
    groups: Mapping[str, np.ndarray],
    limits: Limits,
    chance: float,
) -> Recommendation:
    """Chooses candidates on validation, and judges them on test.

    Acceptable is a candidate whose difference to the reference on validation has a lower end above
    -max_loss. The cheapest of them is preferred, within the noise of times the most accurate on
    validation; under a budget, the one most accurate on validation. If test does not confirm it,
    the preferred one of those that test confirms is recommended. For that, others are judged whose
    loss on validation is lower than that of all that are cheaper.

    Args:
        candidates: All of them; at least one is of full size.
        groups: By split, the group of each clip, (clips,).
        limits: What is asked for.
        chance: The accuracy of guessing: the share of test clips of the most frequent class.

    Raises:
        ValueError: None is of full size.
    """
    reference = best_full_size(candidates)
    cheaper = _cheaper(candidates, reference, limits.budget_ms)
    fewest = min((TEST, VALIDATION), key=lambda split: len(np.unique(groups[split])))
    few = len(np.unique(groups[fewest])) < limits.min_groups
    known = _known(candidates, reference, limits) | {
        "groups": {split: len(np.unique(groups[split])) for split in (VALIDATION, TEST)},
        "warnings": _guessing(candidates, groups[TEST], limits.draws, chance),
    }
    if not cheaper:
        return Recommendation(verdict=NOT_CONFIRMED, **known)

    seen = differences(cheaper, reference, groups, VALIDATION, limits.draws)
    acceptable = [each for each in cheaper if seen[each.name].low > -limits.max_loss]
    closest = max(cheaper, key=lambda each: seen[each.name].low)
    contender, confirmed = _preferred(acceptable or [closest], limits), False
    if acceptable and not few:
        judged = _judged_on_test(acceptable, contender, reference, groups, limits)
        passed = {name for name, found in judged.items() if found.low > -limits.max_loss}
        kept = [each for each in acceptable if each.name in passed]
        contender, confirmed = _preferred(kept or [contender], limits), bool(kept)
        found = judged[contender.name]
    else:
        split = fewest if few else VALIDATION
        [found] = differences([contender], reference, groups, split, limits.draws).values()
    is_open = few or found.low <= -limits.max_loss <= found.high
    return Recommendation(
        candidate=contender.name if acceptable and not few else None,
        verdict=TOO_FEW if few else CONFIRMED if confirmed else NOT_CONFIRMED,
        contender=contender.name,
        difference=found,
        cost=_cost(contender, reference),
        more_groups=_more(contender, reference, groups, found.split, limits) if is_open else None,
        **known,
    )


def best_full_size(candidates: Sequence[Measured]) -> Measured:
    """Returns the full-size model that is best on validation clips; of equal ones the cheapest.

    Raises:
        ValueError: There is none.
    """
    full = [each for each in candidates if each.full_size]
    if not full:
        names = [each.name for each in candidates]
        raise ValueError(f"none of the candidates {names} is of full size, to compare with")
    return min(full, key=lambda each: (-each.accuracy(VALIDATION), each.price.mean, each.name))


def differences(
    candidates: Sequence[Measured],
    reference: Measured,
    groups: Mapping[str, np.ndarray],
    split: str,
    draws: Draws,
    comparisons: int = 1,
) -> dict[str, Difference]:
    """Returns each candidate's difference to the reference, by name; groups are drawn in pairs.

    Args:
        candidates: At least one.
        reference: What they are compared with.
        groups: By split, the group of each clip, (clips,).
        split: Whose clips are looked at.
        draws: For the intervals.
        comparisons: How many intervals hold together with 95% (Bonferroni).
    """
    found = intervals.of_means(
        np.stack([_gains(each, reference, split) for each in candidates], axis=1),
        groups[split],
        (-1, 1),
        draws,
        comparisons,
    )
    about: dict[str, Any] = {
        "split": split,
        "clips": len(groups[split]),
        "groups": len(np.unique(groups[split])),
    }
    return {
        each.name: Difference(difference=difference, low=low, high=high, **about)
        for each, difference, low, high in zip(
            candidates,
            found.estimate.tolist(),
            found.low.tolist(),
            found.high.tolist(),
            strict=True,
        )
    }


def front(candidates: Sequence[Measured], split: str) -> list[str]:
    """Returns the names on the Pareto front of price and of clip accuracy on a split."""
    return prices.front(
        {each.name: Point(each.price.mean, each.accuracy(split)) for each in candidates}
    )


def _known(candidates: Sequence[Measured], reference: Measured, limits: Limits) -> dict[str, Any]:
    """Returns the parts of a recommendation that do not depend on the choice."""
    return {
        "reference": reference.name,
        "reference_cost": _cost(reference, reference),
        "front": front(candidates, TEST),
        "max_loss": limits.max_loss,
        "budget_ms": limits.budget_ms,
        "min_groups": limits.min_groups,
    }


def _cheaper(
    candidates: Sequence[Measured], reference: Measured, budget_ms: float | None
) -> list[Measured]:
    """Returns those that are cheaper than the reference and within the budget, by rising price."""
    most = np.inf if budget_ms is None else budget_ms
    return [
        each
        for each in sorted(candidates, key=lambda each: (each.price.mean, each.name))
        if each.price.mean * (1 + NOISE) < reference.price.mean and each.price.mean <= most
    ]


def _judged_on_test(
    acceptable: Sequence[Measured],
    first: Measured,
    reference: Measured,
    groups: Mapping[str, np.ndarray],
    limits: Limits,
) -> dict[str, Difference]:
    """Returns the differences on test: that of the first at half of the error, or all if alone."""

    def judge(some: Sequence[Measured], comparisons: int) -> dict[str, Difference]:
        return differences(some, reference, groups, TEST, limits.draws, comparisons)

    others, least = [], first.loss
    for each in acceptable:
        if each.loss < least:
            others.append(each)
            least = each.loss
    if not others:
        return judge([first], 1)
    return judge([first], 2) | judge(others, 2 * len(others))


def _preferred(candidates: Sequence[Measured], limits: Limits) -> Measured:
    """Returns the cheapest, or under a budget the most accurate; they are by rising price.

    Of those that cost as little as the cheapest one, it is the most accurate too.
    """
    if limits.budget_ms is None:
        least = candidates[0].price.mean * (1 + NOISE)
        candidates = [each for each in candidates if each.price.mean <= least]
    return max(candidates, key=lambda each: each.accuracy(VALIDATION))


def _gains(one: Measured, other: Measured, split: str) -> np.ndarray:
    return one.right[split].astype(int) - other.right[split]


def _cost(one: Measured, reference: Measured) -> Cost:
    return Cost(
        milliseconds=one.price.mean,
        worst_milliseconds=one.price.worst,
        share=one.price.mean / reference.price.mean,
    )


def _more(
    one: Measured,
    reference: Measured,
    groups: Mapping[str, np.ndarray],
    split: str,
    limits: Limits,
) -> int | None:
    """Returns how many more groups would settle it, of two digits; None if that is too many."""
    gains = _gains(one, reference, split)
    needed = intervals.groups_needed(gains, groups[split], -limits.max_loss, limits.draws.seed)
    more = max(needed, limits.min_groups) - len(np.unique(groups[split]))
    return int(float(f"{more:.1e}")) if needed and more > 0 else None


def _guessing(
    candidates: Sequence[Measured], groups: np.ndarray, draws: Draws, chance: float
) -> list[str]:
    right = np.stack([each.right[TEST] for each in candidates], axis=1)
    low = intervals.of_means(right, groups, (0, 1), draws).low
    names = [each.name for each, end in zip(candidates, low, strict=True) if end <= chance]
    if not names:
        return []
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return [
        f"{len(names)} of {len(candidates)} candidates may be no better than guessing "
        f"({chance:.0%} of clips), as their 95% confidence intervals include it: "
        f"{', '.join(names[:NAMED])}{more}."
    ]
