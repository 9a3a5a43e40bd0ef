"""metrics/evaluate.json: which models it has, in which order, and as older revisions wrote it."""

from stemtune.evaluation import comparison
from tests.support.results import COMPARED, entry


def test_models_without_a_stem_come_first_by_side() -> None:
    assert [*COMPARED.models] == [
        "baseline",
        "resize_108",
        "retrained_108",
        "retrained_118",
        "as_published",
        "warm_start",
    ]


def test_the_best_on_validation_has_the_lowest_loss() -> None:
    sure_but_wrong = {"validation_loss": 3.0, "validation_accuracy": 0.99}
    other = entry(0.9, 528, 0.2, 224).model_copy(update=sure_but_wrong)
    stems = COMPARED.stem | {"other": other}
    assert COMPARED.model_copy(update={"stem": stems}).best_stem() == "warm_start"


def test_metrics_of_an_older_revision_are_read() -> None:
    old = {
        "baseline": entry(0.9, 10, 0.8, 224).values(),
        "resize": entry(0.5, 0, 0.2, 112).values(),
        "resize_retrained": entry(0.7, 10, 0.2, 112).values(),
        "resize_retrained_equal_cost": entry(0.8, 10, 0.3, 128).values(),
        "stem": {"joint": entry(0.8, 528, 0.3, 224).values()},
        "paper": {},
    }
    read = comparison.Comparison.model_validate(old)
    names = ["baseline", "resize_112", "retrained_112", "retrained_128", "joint"]
    assert [row.name for row in comparison.rows(read)] == names
