"""The recommendation: chosen on validation, judged on test, and silent if little is known."""

from pathlib import Path

import numpy as np
import pytest

from bench import verdicts as simulation
from stemtune.core import files, typed_json
from stemtune.evaluation import verdicts
from stemtune.evaluation.advice import Recommendation
from stemtune.evaluation.intervals import Draws
from stemtune.evaluation.prices import Price
from stemtune.evaluation.verdicts import Limits, Measured

DRAWS = Draws(2000, 1)
MINUS = "\N{MINUS SIGN}"


def measured(name: str, price: float, lost: tuple[int, int], clips: tuple[int, int]) -> Measured:
    """Returns a candidate that gets the last clips wrong, in validation and in test."""
    right = {
        split: np.arange(number) < number - wrong
        for split, wrong, number in zip(("validation", "test"), lost, clips, strict=True)
    }
    return Measured(name, Price(price, 2 * price), name.startswith("full"), 1 / price, right)


def recommend(
    losses: dict[str, tuple[int, int]],
    clips: tuple[int, int] = (200, 200),
    max_loss: float = 0.05,
    budget_ms: float | None = None,
) -> Recommendation:
    """Recommends among candidates at 10, 5, 2.5 … ms, by how many clips they get wrong."""
    candidates = [
        measured(name, 10 / 2**place, lost, clips)
        for place, (name, lost) in enumerate(losses.items())
    ]
    groups = {"validation": np.arange(clips[0]), "test": np.arange(clips[1])}
    limits = Limits(max_loss, budget_ms, 20, DRAWS)
    return verdicts.recommend(candidates, groups, limits, chance=0.2)


def test_the_cheapest_acceptable_candidate_is_confirmed_on_test() -> None:
    found = recommend({"full": (0, 1), "half": (0, 1), "third": (1, 2), "tiny": (30, 0)})
    assert (found.candidate, found.verdict, found.reference) == ("third", "confirmed", "full")
    assert found.difference
    assert (found.difference.split, found.difference.clips) == ("test", 200)
    assert found.difference.low > -0.05
    assert found.front == ["tiny"]
    assert found.cost
    assert (found.cost.milliseconds, found.cost.worst_milliseconds) == (2.5, 5)
    assert found.sentence.startswith("Use third at 2.5 ms per clip (25% of full, at worst 5 ms): ")
    low = f"{100 * found.difference.low:.1f}".replace("-", MINUS)
    assert f"{MINUS}0.5 points of clip accuracy (95% CI {low} to +" in found.sentence
    assert found.sentence.endswith(f"confirmed on test (limit {MINUS}5.0 points).")
    assert found.more_groups is None
    assert not found.warnings


def test_a_choice_that_test_does_not_bear_out_is_not_confirmed() -> None:
    found = recommend({"full": (0, 0), "half": (0, 6)})
    assert (found.candidate, found.verdict) == ("half", "not confirmed")
    assert found.sentence.startswith(
        "Keep full at 10 ms per clip: test does not confirm half at 5 ms per clip (50% of full, at "
        "worst 10 ms), which was chosen on validation. It has "
    )
    assert found.more_groups
    assert f"About {found.more_groups} more test groups would settle it." in found.sentence
    lost = recommend({"full": (0, 0), "half": (0, 60)})
    assert (lost.verdict, lost.more_groups) == ("not confirmed", None)


def test_if_test_refuses_the_cheapest_another_acceptable_one_is_recommended() -> None:
    found = recommend({"full": (0, 0), "half": (0, 0), "third": (0, 20), "tiny": (60, 0)})
    assert (found.candidate, found.verdict, found.recommended) == ("half", "confirmed", "half")
    found = recommend({"full": (0, 0), "half": (0, 30), "third": (0, 20)})
    assert (found.candidate, found.verdict, found.recommended) == ("third", "not confirmed", "full")
    assert found.price_share == 1


def test_without_an_acceptable_candidate_the_reference_stays() -> None:
    found = recommend({"full": (0, 0), "half": (6, 0), "tiny": (50, 0)})
    assert (found.candidate, found.verdict, found.contender) == (None, "not confirmed", "half")
    assert found.difference
    assert found.difference.split == "validation"
    assert found.sentence.startswith("Keep full at 10 ms per clip: no cheaper candidate has ")
    assert "The closest is half at 5 ms per clip" in found.sentence
    alone = recommend({"full": (0, 0)})
    assert alone.sentence == "Keep full at 10 ms per clip: there is no cheaper candidate."


@pytest.mark.parametrize("clips", [(4, 4), (200, 9), (9, 200)])
def test_few_groups_give_no_verdict_but_the_number_that_would(clips: tuple[int, int]) -> None:
    found = recommend({"full": (0, 0), "half": (0, 0)}, clips)
    assert (found.candidate, found.verdict, found.contender) == (None, "too few groups", "half")
    assert found.difference
    assert found.difference.groups == min(clips)
    assert found.more_groups == pytest.approx(72 - min(clips), abs=8)
    split = found.difference.split
    short = {
        (4, 4): "4 test groups and 4 validation groups",
        (200, 9): f"9 {split} groups",
        (9, 200): f"9 {split} groups",
    }
    more = dict[str, int | None](test=16, validation=16) if clips == (4, 4) else {}
    more[split] = found.more_groups
    takes = " and ".join(f"{count} more {name} groups" for name, count in more.items())
    assert found.sentence.startswith(
        f"No recommendation: {short[clips]} are too few for a verdict, which needs 20 of each. "
        f"It takes about {takes}. So far it would be half at "
    )
    assert found.sentence.endswith(f" on {found.difference.clips} {split} clips.")


def test_other_limits_give_another_choice() -> None:
    losses = {"full": (0, 0), "half": (0, 0), "third": (2, 2), "tiny": (4, 4), "least": (90, 90)}
    assert recommend(losses).candidate == "third"
    assert recommend(losses, max_loss=0.1).candidate == "tiny"
    # The most accurate that the budget allows, and nothing dearer if none is acceptable.
    assert recommend(losses, max_loss=0.1, budget_ms=6).candidate == "half"
    none = recommend(losses, budget_ms=1)
    assert (none.candidate, none.contender) == (None, "least")
    # The reference breaks the budget too.
    assert none.recommended is None
    nothing = "Nothing to recommend within the budget of {} ms per clip: "
    assert none.sentence.startswith(nothing.format(1) + "no candidate within it has an interval")
    expected = nothing.format(0.1) + "there is no candidate within it."
    assert recommend(losses, budget_ms=0.1).sentence == expected


def test_the_reference_is_the_full_size_model_best_on_validation() -> None:
    losses = {"full_dear": (9, 0), "full": (8, 20), "half": (8, 20)}
    assert recommend(losses).reference == "full"
    with pytest.raises(ValueError, match=r"\['half'\] is of full size"):
        recommend({"half": (0, 0)})


def test_a_model_that_may_be_guessing_is_named() -> None:
    found = recommend({"full": (0, 0), "half": (0, 0), "dead": (150, 158)})
    (warning,) = found.warnings
    assert warning.endswith("include it: dead.")


def test_of_candidates_whose_times_differ_by_noise_the_most_accurate_is_chosen() -> None:
    groups = {"validation": np.arange(200), "test": np.arange(200)}
    candidates = [
        measured("full", 10.0, (0, 0), (200, 200)),
        measured("cheapest", 5.0, (2, 0), (200, 200)),
        measured("equal", 5.05, (0, 0), (200, 200)),
        measured("dearer", 5.5, (0, 0), (200, 200)),
    ]
    limits = Limits(0.05, None, 20, DRAWS)
    assert verdicts.recommend(candidates, groups, limits, 0.2).candidate == "equal"


def test_a_recommendation_is_read_back(tmp_path: Path) -> None:
    for found in (recommend({"full": (0, 0), "half": (0, 0)}), recommend({"full": (0, 0)})):
        files.write_json(tmp_path / "recommendation.json", found.model_dump())
        assert typed_json.read(tmp_path / "recommendation.json", Recommendation) == found


def test_differences_of_several_candidates_are_corrected() -> None:
    candidates = [measured(name, 1.0, (5, 5), (100, 100)) for name in "abcd"]
    reference = measured("full", 2.0, (0, 0), (100, 100))
    groups = {"test": np.arange(100)}
    alone = verdicts.differences(candidates, reference, groups, "test", DRAWS)
    together = verdicts.differences(candidates, reference, groups, "test", DRAWS, comparisons=4)
    assert together["a"].difference == alone["a"].difference == -0.05
    assert together["a"].low < alone["a"].low < alone["a"].high < together["a"].high


@pytest.mark.parametrize("scenario", simulation.SCENARIOS[:-1], ids=lambda each: each.name)
def test_verdicts_are_wrong_no_more_often_than_is_said(scenario: simulation.Scenario) -> None:
    judge = simulation.confirmed if scenario.chosen else simulation.judged_on_test
    projects = 300
    # Three standard errors of a rate that is as said.
    most = simulation.TAIL + 3 * np.sqrt(simulation.TAIL * (1 - simulation.TAIL) / projects)
    for groups in (5, 20, 120):
        assert judge(scenario, groups, projects, simulation.bounded) <= most
    # Other intervals would not pass.
    before = judge(scenario, 5, projects, simulation.percentile)
    assert before > most


def test_enough_groups_find_that_nothing_is_lost() -> None:
    found = simulation.confirmed(simulation.SCENARIOS[-1], 150, 200, simulation.bounded)
    assert found > 0.9


def test_recommend_decides_as_simulated() -> None:
    scenario, projects, random = simulation.SCENARIOS[-1], 40, np.random.default_rng(110)
    right = {}
    for split in ("validation", "test"):
        right[split], groups = simulation.answers(scenario, 110, projects, random)
    limits = Limits(scenario.max_loss, None, 20, Draws(simulation.SAMPLES, 1))
    confirmed = 0
    for project in range(projects):
        candidates = [
            Measured(
                f"model {number}",
                Price(number or 100, 100),
                number == 0,
                -number,
                {split: each[:, project, number] for split, each in right.items()},
            )
            for number in range(scenario.candidates + 1)
        ]
        both = {"validation": groups, "test": groups}
        found = verdicts.recommend(candidates, both, limits, 0.2)
        confirmed += found.verdict == "confirmed"
    expected = simulation.confirmed(scenario, 110, projects, simulation.bounded)
    assert confirmed / projects == pytest.approx(expected)
    assert 0.2 < expected < 0.95
