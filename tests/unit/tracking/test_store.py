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

from stemtune.core import all_params, dvc
from stemtune.export.exports import Exports
from stemtune.tracking import moved, pipeline_run, publisher, publishing, store
from stemtune.tracking.outbox import Outbox
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
    moved.follow()
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
    place = project.parent / "new place"
    project.rename(place)
    client = connect(place, monkeypatch)
    assert f"was moved here from {project}" in moved.follow()
    assert_whole_at(place, client)
    assert not project.exists()
    assert str(project) not in dump(place)
    assert moved.follow() == ""


def test_a_copy_writes_nothing_to_the_place_that_it_was_copied_from(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = project.parent / "copy"
    shutil.copytree(project, copy)
    there = set(project.rglob("*"))
    client = connect(copy, monkeypatch)
    assert f"is a copy of {project}" in moved.follow()
    assert_whole_at(copy, client)
    assert set(project.rglob("*")) == there
    assert_whole_at(project, connect(project, monkeypatch))
    assert moved.follow() == ""
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
    place = project.rename(project.parent / "moved")
    client = connect(place, monkeypatch)
    # What was logged after the move, before anything mended it.
    late = client.create_run("1").info
    client.log_text(late.run_id, "late", "late.txt")
    moved.follow()
    for run, name in ((note, "note"), (late, "late")):
        folder = client.get_run(run.run_id).info.artifact_uri
        assert mlflow.artifacts.load_text(f"{folder}/{name}.txt")
    client.delete_run(late.run_id)
    assert_whole_at(place, client)


def test_a_store_that_was_named_is_left_alone(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = project.rename(project.parent / "moved")
    monkeypatch.chdir(place)
    before = dump(place)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
    assert moved.follow() == ""
    assert dump(place) == before
    # `mlflow run` names the project's own, quoted.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/mlflow.db".replace("о", "%D0%BE"))
    assert "was moved here" in moved.follow()


def test_a_store_whose_tables_are_others_is_left_alone(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = project.rename(project.parent / "moved")
    connect(place, monkeypatch)
    with closing(sqlite3.connect("mlflow.db")) as database:
        database.execute("ALTER TABLE runs RENAME COLUMN artifact_uri TO artifacts_are_at")
        database.commit()
    before = dump(place)
    assert "mlflow.db lacks runs.artifact_uri" in moved.follow()
    assert dump(place) == before


MAKES = """
import os, signal, sys, time
from pathlib import Path
from urllib.parse import quote
from stemtune.tracking import store
from mlflow.store.db import utils
go, kill = Path(sys.argv[1]), sys.argv[2:]
if kill:
    utils._upgrade_db = lambda _: os.kill(os.getpid(), signal.SIGKILL)
while not kill and not go.exists():
    time.sleep(0.01)
print(len(store.connect().search_experiments()))
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
        patched.setattr("fcntl.flock", refuse)
        store._prepare()
        assert not named.exists()
    store._prepare()
    assert [path.name for path in named.parent.iterdir()] == [named.name]
    # As `mlflow run` names it.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{quote(str(named))}")
    store._prepare()
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
    assert dvc.project() == root / below_dvc
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///own/runs.db")
    assert store.address() == f"sqlite:///{root / below_dvc}/own/runs.db"
    monkeypatch.chdir(root / below_dvc)
    assert dvc.project() == Path()
    assert store.address() == "sqlite:///own/runs.db"


@pytest.mark.parametrize("given", ["file:./runs", "file:runs", "./runs", "runs"])
def test_a_relative_folder_is_the_project_s(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / ".dvc/tmp/exps/copy"
    copy.mkdir(parents=True)
    for repository in (tmp_path, copy):
        subprocess.run(["git", "init", "--quiet"], cwd=repository, check=True)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(copy)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    assert store.address() == str(tmp_path / "runs")


@pytest.mark.parametrize("given", ["http://host:5000", "databricks", "file:///srv/runs"])
def test_an_address_that_is_no_relative_path_stays(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    assert store.address() == given


def test_what_keeps_a_run_from_mlflow_costs_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    publishing.publish(all_params.load(), [], [], Exports(exports={}), None)
    said = capsys.readouterr().out
    assert "track: WARNING: this run is not kept for MLflow: " in said


def test_a_file_system_that_locks_nothing_keeps_no_run_out_of_mlflow(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    shutil.copy(empty_store, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fcntl.flock", refuse)
    monkeypatch.setattr(publisher, "LINGER_SECONDS", 0.1)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    kept, run = Outbox(Path(".tracking/one")), pipeline_run.current("over")
    ended = run.owner.model_copy(update={"started": 0.0})
    kept.describe(run.model_copy(update={"owner": ended}))
    publisher.main()
    assert kept.shown()
    mlflow.set_tracking_uri("")
