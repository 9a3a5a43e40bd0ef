"""What the report ends in: keep frames as they are, resize and retrain, or take a stem."""

import pytest

from stemtune.evaluation import comparison
from stemtune.evaluation.metrics import Difference
from stemtune.evaluation.recommendation import recommend
from tests.support.results import entry

FULL, SMALL = 0.8, 0.25


def compared(**accuracies: float) -> comparison.Comparison:
    """Returns models of these accuracies; those with a stem cost a third of the baseline."""
    costs = {"baseline": FULL, "resize_112": 0.2, "retrained_112": 0.2}
    sides = {"resize_112": 112, "retrained_112": 112, "retrained_118": 118, "retrained_128": 128}
    entries = {
        name: entry(accuracies.get(name, 0.5), 10, costs.get(name, SMALL), sides.get(name, 224))
        for name in ("baseline", *sides, *accuracies)
    }
    # More operations than a stem has: no control at its cost, however good.
    entries["retrained_128"] = entry(0.99, 10, 0.26, 128)
    return comparison.of(entries)


@pytest.mark.parametrize(
    ("stem", "control", "bound", "choice", "said"),
    [
        (0.88, 0.80, 0.03, "joint", "Take the stem joint: "),
        (0.88, 0.86, 0.09, "retrained_112", "Resize and retrain (retrained_112): "),
        (0.80, 0.87, 0.01, "retrained_112", "Resize and retrain (retrained_112): "),
        (0.84, 0.70, 0.03, "baseline", "Keep frames as they are: the best alternative is joint"),
    ],
)
def test_each_choice_is_told_with_what_it_costs(
    stem: float, control: float, bound: float, choice: str, said: str
) -> None:
    models = compared(baseline=0.9, retrained_112=control, joint=stem, frozen=0.6)

    def compare(first: str, second: str) -> Difference:
        by = models.models[first].test_accuracy - models.models[second].test_accuracy
        return Difference(by, by - bound, by + bound, 0, 0, 1.0)

    found = recommend(models, compare, acceptable_loss=0.05)
    assert found.choice == choice
    sentence = found.sentence()
    assert sentence.startswith(said)
    lost = 90 - 100 * models.models[found.alternative].test_accuracy
    low, high = lost - 100 * bound, lost + 100 * bound
    assert f"it loses {lost:.1f} points ({low:.1f} to {high:.1f})" in sentence
    share = models.models[found.alternative].flops_per_frame / models.baseline.flops_per_frame
    assert f"at {share:.0%} of its operations" in sentence
    timed = found.sentence({"baseline": 4.0, found.alternative: 1.0})
    assert f"at {share:.0%} of its operations and 25% of its time" in timed


def test_more_operations_have_to_show_a_gain() -> None:
    models = compared(baseline=0.8, retrained_112=0.7, joint=0.85)
    models = models.model_copy(update={"baseline": entry(0.8, 10, 0.2, 108)})

    def compare(first: str, second: str) -> Difference:
        by = models.models[first].test_accuracy - models.models[second].test_accuracy
        return Difference(by, by - bound, by + bound, 0, 0, 1.0)

    bound = 0.04
    found = recommend(models, compare, acceptable_loss=0.05)
    assert found.choice == "joint"
    assert "against the baseline on frames of 108 px it gains 5.0 points (1.0 to 9.0)" in (
        found.sentence()
    )
    bound = 0.06
    assert recommend(models, compare, acceptable_loss=0.05).choice == "baseline"


def test_validation_loss_chooses_stem_and_control_and_neither_test_nor_accuracy_does() -> None:
    sure_but_wrong = {"validation_loss": 3.0, "validation_accuracy": 0.99}
    better_on_test = entry(0.9, 10, 0.2, 112).model_copy(update=sure_but_wrong)
    models = compared(baseline=0.9, one=0.5)
    retrained = models.retrained | {"112": better_on_test}
    models = models.model_copy(
        update={"stem": models.stem | {"other": better_on_test}, "retrained": retrained}
    )
    found = recommend(models, lambda *_: Difference(0.1, 0.05, 0.15, 0, 0, 1.0), 0.05)
    assert (found.stem, found.control) == ("one", "retrained_118")


def test_metrics_of_an_older_revision_are_read() -> None:
    old = {
        "baseline": entry(0.9, 10, FULL, 224).values(),
        "resize": entry(0.5, 0, 0.2, 112).values(),
        "resize_retrained": entry(0.7, 10, 0.2, 112).values(),
        "resize_retrained_equal_cost": entry(0.8, 10, 0.3, 128).values(),
        "stem": {"joint": entry(0.8, 528, 0.3, 224).values()},
        "paper": {},
    }
    read = comparison.Comparison.model_validate(old)
    names = ["baseline", "resize_112", "retrained_112", "retrained_128", "joint"]
    assert [row.name for row in comparison.rows(read)] == names
