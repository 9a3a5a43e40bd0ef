"""`stemtune recommend`: other limits and other times give other candidates."""

import dataclasses
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stemtune.commands import arguments
from stemtune.commands.main import main
from stemtune.core import files, params
from stemtune.evaluation import recommending
from stemtune.report import figures, tables
from tests.support import answered_files
from tests.support.answered_files import MILLISECONDS
from tests.support.project import ROOT

WRONG = {
    "baseline": 2,
    "retrained_224": 0,
    "retrained_224_int8": 0,
    "retrained_112": 8,
    "retrained_112_int8": 8,
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    answered_files.make_project(folder, WRONG)
    return folder


def recommended(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, object]:
    assert main(["recommend", "--json", *options]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_limits_and_times_decide(
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(project)
    # Of 40 groups one that was not seen may lose all, so little is certain.
    strict = recommended(capsys, "--max-loss", "0.01")
    assert (strict["candidate"], strict["reference"]) == (None, "retrained_224_float32 on 3 frames")
    assert recommended(capsys, "--max-loss", "0.2")["candidate"] == (
        "retrained_112_to_retrained_224_int8 on 1 frame"
    )
    assert recommended(capsys, "--max-loss", "0.6")["candidate"] == "retrained_112_int8 on 1 frame"
    # If nothing fits a budget, it says what there is without one.
    assert main(["recommend", "--max-loss", "0.2", "--budget-ms", "0.5"]) == 0
    printed = capsys.readouterr().out
    assert (
        "budget of 0.5 ms per clip: there is no candidate within it.\nWithout a budget: " in printed
    )
    # The most accurate within a budget.
    budget = recommended(capsys, "--max-loss", "0.6", "--budget-ms", "1.5")
    assert budget["candidate"] == "retrained_112_int8 on 1 frame"
    # A device on which int8 is slow, and that has no file of the small side as float32.
    slow = {name: 90.0 if name.endswith("int8") else ms for name, ms in MILLISECONDS.items()}
    del slow["retrained_112_float32"]
    device = {f"{name}.tflite": {"ms_median": ms, "ms_p95": ms} for name, ms in slow.items()}
    files.write_json(tmp_path / "pi.json", device)
    found = recommended(capsys, "--max-loss", "0.2", "--latency", str(tmp_path / "pi.json"))
    assert found["candidate"] == "retrained_224_float32 on 1 frame"


def test_it_says_what_to_run_and_what_is_missing(
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(project)
    assert main(["recommend", "--max-loss", "0.2"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Use retrained_112_to_retrained_224_int8 on 1 frame at 1.8 ms per clip")
    assert "--model exports/retrained_112_to_retrained_224_int8_1.cascade.json CLIP\n" in said
    with pytest.raises(SystemExit):
        main(["recommend", "--max-loss", "2"])
    assert "a share of clips from 0 to 1, such as 0.02 is expected, not '2'" in (
        capsys.readouterr().err
    )
    latency = {f"{name}.tflite": {"ms_median": ms} for name, ms in MILLISECONDS.items()}
    latency["baseline_float32.tflite"]["busy_share"] = 0.85
    files.write_json(tmp_path / "busy.json", latency)
    assert main(["recommend", "--latency", str(tmp_path / "busy.json")]) == 0
    assert "On the prices: other programs had the processor for 85%" in capsys.readouterr().out
    small = {"retrained_112_int8.tflite": {"ms_median": 1.0}}
    files.write_json(tmp_path / "small.json", small)
    assert main(["recommend", "--latency", str(tmp_path / "small.json")]) == 2
    assert "has no price of a full-size model" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    assert main(["recommend"]) == 2


def test_the_program_is_named_so_that_a_shell_here_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert subprocess.run([*shlex.split(arguments.program()), "--version"]).returncode == 0
    folder = tmp_path / "a project/.venv/bin"
    folder.mkdir(parents=True)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.chdir(tmp_path / "a project")
    assert arguments.program() == ".venv/bin/python -m stemtune"
    (folder / "stemtune").touch()
    assert arguments.program() == ".venv/bin/stemtune"
    for elsewhere in (tmp_path / "a project/.venv/bin", ROOT):
        monkeypatch.chdir(elsewhere)
        assert arguments.program() == f"'{folder}/stemtune'"


def test_files_that_are_damaged_or_missing_are_named(
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(project, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    answers, export = "predictions_exported/retrained_112_int8.parquet", "exports"
    Path(answers).write_bytes(Path(answers).read_bytes()[:99])
    assert main(["recommend"]) == 2
    assert f"{answers} is no Parquet file: " in capsys.readouterr().err
    Path(answers).unlink()
    assert main(["recommend"]) == 2
    assert f"{answers} is missing; `dvc repro` makes it" in capsys.readouterr().err
    # Another device may lack it.
    times = {"baseline_float32.tflite": {"ms_median": 9.0}}
    files.write_json(Path("pi.json"), times)
    assert main(["recommend", "--latency", "pi.json"]) == 0
    shutil.rmtree(export)
    assert main(["recommend"]) == 2
    assert f"{export} is missing; `dvc repro` makes it" in capsys.readouterr().err


def test_the_report_s_table_has_every_candidate(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    choice = recommending.read(params.load())
    found = choice.recommend(max_loss=0.2, min_groups=20)
    assert found
    table = choice.table(found).set_index("candidate")
    assert len(table) == len(choice.offers)
    assert table["milliseconds"].is_monotonic_increasing
    assert list(table.index[table["on_front"]]) == found.front
    assert list(table.index[table["is_chosen"]]) == [found.candidate]
    assert list(table.index[table["is_reference"]]) == [found.reference]
    assert list(table.index[table["as_in_paper"]]) == ["baseline_float32 on 3 frames"]
    row = table.loc["retrained_112_int8 on 2 frames"]
    assert row["clip_accuracy"] == pytest.approx(32 / 40)
    assert row["clip_accuracy_low"] < 32 / 40 < row["clip_accuracy_high"]
    assert row["difference"] == pytest.approx(-8 / 40)
    assert row["difference_low"] < -8 / 40 < row["difference_high"]
    assert "<svg" in figures.front(table.reset_index())
    # Of one model alone there is nothing to compare.
    alone = [offer for offer in choice.offers if offer.name == found.reference]
    choice = dataclasses.replace(choice, offers=alone)
    found = choice.recommend(max_loss=0.2, min_groups=20)
    assert found
    single = choice.table(found)
    assert len(single) == 1
    assert "reference" in tables.candidates(single).to_string()
