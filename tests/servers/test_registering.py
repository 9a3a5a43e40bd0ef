"""A classifier gets into MLflow's registry once, whoever publishes it, and whatever cuts it off."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from stemtune.core import files
from stemtune.networks import classifier
from stemtune.tracking import packaging, registry
from tests.support.project import ROOT
from tests.support.registered import (
    ENDED,
    ended_run,
    logged_models,
    outputs,
    publish,
    versions,
)

PYTHON = Path(sys.executable).absolute()


def test_equal_content_is_uploaded_once_and_shown_under_each_run(
    client: MlflowClient, folders: dict[str, Path]
) -> None:
    runs = [ended_run(client) for _ in range(2)]
    for run in (*runs, *runs):
        registry.publish(client, run, "stemmed", "stem", folders["stemmed"], "d1")
    assert versions(client) == {1: "d1"}
    (model,) = logged_models(client)
    assert [outputs(client, run) for run in runs] == [[model], [model]]
    for run in runs:
        info = client.get_run(run).info
        assert (info.status, info.end_time) == ("FAILED", ENDED)
    logged = client.get_logged_model(model)
    assert (logged.name, logged.status.value) == ("stemmed", "READY")
    assert json.loads(logged.tags["mlflow.modelVersions"]) == [{"name": "stemtune", "version": 1}]


def test_an_alias_follows_what_was_published_last(
    client: MlflowClient, folders: dict[str, Path]
) -> None:
    publish(client, folders["baseline"], "d0", "baseline")
    assert [publish(client, folders["stemmed"], digest) for digest in ("d1", "d2")] == [
        "2",
        "3",
    ]
    assert client.get_registered_model("stemtune").aliases == {"baseline": 1, "stem": 3}
    assert publish(client, folders["stemmed"], "d1") == "2"
    assert client.get_registered_model("stemtune").aliases == {"baseline": 1, "stem": 2}


def test_other_code_is_another_version(
    client: MlflowClient, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(client, folders["stemmed"])
    changed = tmp_path / "stemtune"
    shutil.copytree(packaging.PACKAGE, changed)
    with (changed / "media/video.py").open("a") as module:
        module.write("# changed\n")
    monkeypatch.setattr(packaging, "PACKAGE", changed)
    assert [publish(client, folders["stemmed"]) for _ in range(2)] == ["2", "2"]


def test_a_missing_folder_leaves_no_version(client: MlflowClient, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere.*dvc repro"):
        publish(client, tmp_path / "nowhere")
    assert versions(client) == {}


def test_a_model_whose_files_were_deleted_is_uploaded_again(
    client: MlflowClient, folders: dict[str, Path]
) -> None:
    publish(client, folders["stemmed"])
    shutil.rmtree("mlruns")
    assert publish(client, folders["stemmed"]) == "1"
    stored = Path(mlflow.artifacts.download_artifacts("models:/stemtune@stem/artifacts/stemmed"))
    assert (stored / classifier.WEIGHTS_FILE).exists()


def test_a_version_says_what_it_is(client: MlflowClient, folders: dict[str, Path]) -> None:
    for text in ("91% of clips", "92% of clips"):
        folder = folders["stemmed"]
        registry.publish(client, ended_run(client), "stemmed", "stem", folder, "d1", text)
        [version] = client.search_model_versions("name = 'stemtune'")
        assert version.description == text


RACER = """
import sys, time
from pathlib import Path
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from stemtune.tracking import registry
client, (run, folder, go) = MlflowClient(), sys.argv[1:]
Path(f"{go}.{run}").touch()
while not Path(go).exists():
    time.sleep(0.01)
print(registry.publish(client, run, "stemmed", "stem", Path(folder), "d1"))
"""


@pytest.mark.slow
def test_two_publishers_at_once_leave_one_version(
    client: MlflowClient, folders: dict[str, Path], tmp_path: Path
) -> None:
    runs, go = [ended_run(client) for _ in range(2)], tmp_path / "go"
    racers = [
        subprocess.Popen(
            [str(PYTHON), "-c", RACER, run, str(folders["stemmed"]), str(go)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for run in runs
    ]
    while not all(Path(f"{go}.{run}").exists() for run in runs):
        assert all(racer.poll() is None for racer in racers)
        time.sleep(0.01)
    go.touch()
    said = {racer.communicate(timeout=300)[0].split()[-1] for racer in racers}
    ((version, digest),) = versions(client).items()
    assert (said, digest) == ({str(version)}, "d1")
    assert client.get_registered_model("stemtune").aliases == {"stem": version}
    (model,) = logged_models(client)
    assert [outputs(client, run) for run in runs] == [[model], [model]]


def test_an_alias_that_another_publisher_makes_at_the_same_moment_is_moved(
    client: MlflowClient, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = MlflowClient.set_registered_model_alias, []

    def beaten(self: MlflowClient, name: str, alias: str, version: str) -> None:
        calls.append(version)
        original(self, name, alias, version)
        if len(calls) == 1:
            raise MlflowException("UNIQUE constraint failed: registered_model_aliases")

    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", beaten)
    version = publish(client, folders["stemmed"])
    assert client.get_registered_model("stemtune").aliases == {"stem": int(version)}
    assert len(calls) == 2


KILLED = """
import os, signal, sys
from pathlib import Path
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from stemtune.tracking import registry
run, folder, call = sys.argv[1:]
after = call.startswith("after ")
call = call.removeprefix("after ")
original = getattr(MlflowClient, call)

def killing(*arguments, **named):
    if after:
        original(*arguments, **named)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(MlflowClient, call, killing)
registry.publish(MlflowClient(), run, "stemmed", "stem", Path(folder), "d1")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "call",
    [
        "log_model_artifacts",
        "finalize_logged_model",
        "create_model_version",
        "after create_model_version",
        "set_registered_model_alias",
        "log_outputs",
    ],
)
def test_after_a_kill_the_next_publisher_completes(
    client: MlflowClient, folders: dict[str, Path], warm: dict[str, str], call: str
) -> None:
    run = ended_run(client)
    command = ["python", "-c", KILLED, run, str(folders["stemmed"]), call]
    environment = os.environ | warm
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    version = registry.publish(client, run, "stemmed", "stem", folders["stemmed"], "d1")
    assert versions(client) == {int(version): "d1"}
    assert client.get_registered_model("stemtune").aliases == {"stem": int(version)}
    (model,) = logged_models(client)
    assert outputs(client, run) == [model]
    logged = client.get_logged_model(model)
    assert logged.status.value == "READY"
    assert "mlflow.modelVersions" in logged.tags
    stored = Path(mlflow.artifacts.download_artifacts("models:/stemtune@stem/artifacts/stemmed"))
    assert files.sha256(stored / classifier.WEIGHTS_FILE) == files.sha256(
        folders["stemmed"] / classifier.WEIGHTS_FILE
    )
