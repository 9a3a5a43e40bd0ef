"""The project's own MLflow store goes where the project goes, and is found from DVC's copies."""

import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from stemtune.core import params, pipeline_run
from stemtune.export.exports import Exports
from stemtune.tracking import outbox, publishing, store, summary
from tests.support.project import ROOT


@pytest.fixture
def project(
    tmp_path: Path,
    empty_store: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Path]:
    """A project whose store has a run with an artifact, and a model that was registered twice."""
    root = tmp_path / "old place с кириллицей"
    root.mkdir()
    shutil.copy(empty_store, root / "mlflow.db")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    client = connect(root, monkeypatch)
    # That it was copied from where it was made is not what is asked here.
    store.mend()
    capsys.readouterr()
    experiment = client.create_experiment("stemtune")
    run = client.create_run(experiment).info
    client.log_text(run.run_id, "kept", "a.txt")
    model = client.create_logged_model(experiment, "model", run.run_id)
    (root / "model").mkdir()
    (root / "model/MLmodel").write_text("flavors: {}\n")
    client.log_model_artifacts(model.model_id, str(root / "model"))
    client.create_registered_model("stemtune")
    source = f"models:/{model.model_id}"
    client.create_model_version("stemtune", source, run.run_id, model_id=model.model_id)
    client.create_model_version("stemtune", f"{run.artifact_uri}/model", run.run_id)
    client.set_registered_model_alias("stemtune", "stem", "1")
    yield root
    mlflow.set_tracking_uri("")


def connect(root: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.chdir(root)
    # In full, since MLflow keeps a connection per address.
    mlflow.set_tracking_uri(f"sqlite:///{root}/mlflow.db")
    return MlflowClient()


def assert_whole_at(root: Path, client: MlflowClient) -> None:
    """Asserts that old artifacts and models are there, and new ones come there."""
    found = client.get_experiment_by_name("stemtune")
    assert found
    experiment = found.experiment_id
    [run] = client.search_runs([experiment])
    assert mlflow.artifacts.load_text(f"{run.info.artifact_uri}/a.txt") == "kept"
    loaded = Path(mlflow.artifacts.download_artifacts("models:/stemtune@stem"))
    assert (loaded / "MLmodel").read_text().startswith("flavors")
    new = client.create_run(experiment).info
    client.log_text(new.run_id, "new", "b.txt")
    assert (root / "mlruns" / experiment / new.run_id / "artifacts/b.txt").exists()
    client.delete_run(new.run_id)


def dump(root: Path) -> str:
    with closing(sqlite3.connect(root / "mlflow.db")) as database:
        return "\n".join(database.iterdump())


def test_a_project_that_was_moved_shows_and_loads_what_it_had(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = project.parent / "new place"
    project.rename(moved)
    client = connect(moved, monkeypatch)
    store.mend()
    assert f"was moved here from {project}" in capsys.readouterr().out
    assert_whole_at(moved, client)
    assert not project.exists()
    assert str(project) not in dump(moved)
    store.mend()
    assert capsys.readouterr().out == ""


def test_a_copy_writes_nothing_to_the_place_that_it_was_copied_from(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = project.parent / "copy"
    shutil.copytree(project, copy)
    there = set(project.rglob("*"))
    client = connect(copy, monkeypatch)
    store.mend()
    assert f"is a copy of {project}" in capsys.readouterr().out
    assert_whole_at(copy, client)
    assert set(project.rglob("*")) == there
    assert_whole_at(project, connect(project, monkeypatch))
    store.mend()
    assert capsys.readouterr().out == ""
    assert str(copy) not in dump(project)


def test_artifacts_that_are_at_another_place_alone_are_still_found(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(project, monkeypatch)
    notebook = project.parent / "notebook"
    notebook.mkdir()
    elsewhere = client.create_experiment("mine", f"{notebook}/mlruns/2")
    assert elsewhere == "2"
    note = client.create_run(elsewhere).info
    client.log_text(note.run_id, "a note", "note.txt")
    moved = project.rename(project.parent / "moved")
    client = connect(moved, monkeypatch)
    # What was logged after the move, before anything mended it.
    late = client.create_run("1").info
    client.log_text(late.run_id, "late", "late.txt")
    store.mend()
    for run, name in ((note, "note"), (late, "late")):
        place = client.get_run(run.run_id).info.artifact_uri
        assert mlflow.artifacts.load_text(f"{place}/{name}.txt")
    client.delete_run(late.run_id)
    assert_whole_at(moved, client)


def test_a_store_that_was_named_is_left_alone(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = project.rename(project.parent / "moved")
    monkeypatch.chdir(moved)
    before = dump(moved)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
    store.mend()
    assert dump(moved) == before
    # `mlflow run` names the project's own, quoted.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{moved}/mlflow.db".replace("о", "%D0%BE"))
    store.mend()
    assert "was moved here" in capsys.readouterr().out


MAKES = """
import os, signal, sys, time
from pathlib import Path
from urllib.parse import quote
from stemtune.tracking.client import Client
from mlflow.store.db import utils
go, kill = Path(sys.argv[1]), sys.argv[2:]
if kill:
    utils._upgrade_db = lambda _: os.kill(os.getpid(), signal.SIGKILL)
while not kill and not go.exists():
    time.sleep(0.01)
print(len(Client(600).search_experiments()))
"""


def test_a_store_is_made_by_one_process_and_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def start(*more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", MAKES, str(tmp_path / "go"), *more]
        return subprocess.Popen(command, cwd=tmp_path, text=True, stdout=subprocess.PIPE)

    killed = start("kill")
    assert killed.wait() == -signal.SIGKILL
    assert not (tmp_path / "mlflow.db").exists()
    racers = [start(), start()]
    (tmp_path / "go").touch()
    said = [racer.communicate()[0] for racer in racers]
    assert said == ["1\n", "1\n"]
    assert [path.name for path in tmp_path.glob("mlflow.db*")] == ["mlflow.db"]


def test_a_store_is_made_where_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    named = tmp_path / "new folder/мои.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{named}?timeout=30")
    with monkeypatch.context() as patched:
        # MLflow makes it, as well as it can.
        patched.setattr(store.fcntl, "flock", refuse)
        store.prepare()
        assert list(named.parent.iterdir()) == []
    store.prepare()
    assert [path.name for path in named.parent.iterdir()] == [named.name]
    # As `mlflow run` names it.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{quote(str(named))}")
    store.prepare()
    assert [path.name for path in tmp_path.rglob("*.db")] == [named.name]


@pytest.mark.parametrize("given", [None, "", "  "])
def test_an_address_that_is_empty_is_that_of_the_project(
    given: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if given is not None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    assert store.address() == "sqlite:///mlflow.db"


@pytest.mark.parametrize(
    ("below_dvc", "below_git"), [("", ""), ("video", ""), ("", "models"), ("video", "models")]
)
@pytest.mark.parametrize("told", [True, False])
def test_a_copy_that_dvc_made_belongs_to_its_project(
    below_dvc: str, below_git: str, told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`dvc.yaml` may lie below `.dvc`, and `.dvc` below `.git`."""
    original = tmp_path / "original"
    root = original / below_git
    copy = root / ".dvc/tmp/exps/standalone/tmp1" if told else root / ".dvc/tmp/exps/tmp1"
    for repository in (original, copy):
        (repository / below_git / below_dvc).mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "init", "--quiet"], cwd=repository, check=True)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    if told:
        (tmp_path / "link").symlink_to(root)
        monkeypatch.setenv("DVC_ROOT", str(tmp_path / "link"))
    monkeypatch.chdir(copy / below_git / below_dvc)
    assert pipeline_run.project() == root / below_dvc
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///own/runs.db")
    assert store.address() == f"sqlite:///{root / below_dvc}/own/runs.db"
    monkeypatch.chdir(root / below_dvc)
    assert pipeline_run.project() == Path()
    assert store.address() == "sqlite:///own/runs.db"


def test_what_keeps_a_run_from_mlflow_costs_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    times = summary.Timings({}, {}, {}, {}, {}, {}, summary.Energy("", 0, {}))
    publishing.publish(params.load(), [], [], Exports(exports={}), times, None)
    said = capsys.readouterr().out
    assert "track: WARNING: this run is not kept for MLflow: FileNotFoundError: dvc.lock" in said


def test_a_file_system_that_locks_nothing_costs_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(outbox.fcntl, "flock", refuse)
    with outbox.alone():
        assert list(outbox.pending()) == []
    [line] = capsys.readouterr().out.splitlines()
    assert "cannot be locked on this file system (No locks available)" in line
