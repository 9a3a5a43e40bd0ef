"""The last lines of a pipeline run: candidates, hints, the recommendation once, and links."""

from pathlib import Path

import pytest

from stemtune.core import files
from stemtune.core.errors import InputError
from stemtune.core.records import Record
from stemtune.evaluation import listed
from stemtune.evaluation.advice import Cost, Difference, Recommendation
from stemtune.evaluation.listed import Listed
from stemtune.tracking import closing
from tests.support import results

LONG = "retrained_efficientnet_lite2_112_to_retrained_efficientnet_lite2_224_float32"
ADVISED = Recommendation(
    candidate="retrained_108_int8 on 1 frame",
    verdict="confirmed",
    reference="baseline_float32 on 4 frames",
    contender="retrained_108_int8 on 1 frame",
    difference=Difference(
        difference=-0.02, low=-0.05, high=0.01, split="test", clips=136, groups=136
    ),
    cost=Cost(milliseconds=2, worst_milliseconds=2, share=0.06),
    reference_cost=Cost(milliseconds=36, worst_milliseconds=36, share=1),
    front=[],
    max_loss=0.05,
    min_groups=20,
    warnings=["On the prices: other programs were busy. " + "word " * 30],
)


@pytest.fixture
def candidates(tmp_path: Path) -> list[Listed]:
    path = tmp_path / "candidates.csv"
    files.write_csv(path, results.candidates())
    return listed.read(path)


def test_it_has_candidates_hints_the_recommendation_once_and_links(
    candidates: list[Listed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    notes = ["the best rate is the largest tried; " + "try a larger one; " * 10]
    records = [
        Record(name="tune_lr", started=100, notes=notes),
        Record(name="export", started=200, notes=["said while it ran"]),
    ]
    dear = candidates[0].model_copy(update={"candidate": f"{LONG} on 4 frames"})
    shown = closing.closing([*candidates, dear], records, ADVISED, since=150)
    lines = shown.splitlines()
    # A link is never cut.
    assert max(len(line) for line in lines if not line.startswith("Report ")) <= 100
    [chosen] = [line.split() for line in lines if line.startswith("retrained_108_int8")]
    assert chosen == ["retrained_108_int8", "1", "93.0%", "83.0", "to", "98.0", "2.0", "chosen"]
    assert [line.split()[-1] for line in lines if "_float32 " in line][:2] == ["reference", "paper"]
    assert "hint: tune_lr: the best rate is the largest tried;" in shown
    assert "said while it ran" not in shown
    assert "hint: On the prices: other programs were busy." in shown
    assert " ".join(lines).count("Recommendation: Use retrained_108_int8 on 1 frame at 2 ms") == 1
    assert lines[-2] == f"Report   {tmp_path.as_uri()}/report/index.html"
    assert lines[-1] == "Runs     make ui      Try a clip: make demo      Keep: git commit -a"


def test_an_experiment_that_dvc_runs_in_a_copy_names_no_report_that_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / ".dvc/tmp/exps/standalone/copy"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_EXP_NAME", "more-epochs")
    last = closing.closing([], [], ADVISED).splitlines()[-1]
    assert last == "Runs     make ui      Keep: .venv/bin/dvc exp apply more-epochs"


def test_without_prices_it_says_so(tmp_path: Path) -> None:
    shown = closing.closing(listed.read(tmp_path / "none.csv"), [], None)
    assert shown.startswith("No recommendation: params.yaml, export.models,")


def test_a_list_that_is_none_says_what_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "candidates.csv"
    path.write_text(results.candidates().to_csv().replace("36.0", "dear"))
    with pytest.raises(InputError, match="milliseconds: .*got 'dear'. `dvc repro"):
        listed.read(path)
