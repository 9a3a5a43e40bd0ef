"""Classifiers in MLflow's registry: each once, and at work where this project is not installed."""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from stemtune import files, models, registry, video
from stemtune.classifier import LIMITS
from tests.conftest import ROOT, WriteClip
from tests.servers import free_port
from tests.test_models import CLASSES, SIDE, classifier
from tests.test_project import reached

BASELINE_SIDE = 40
FRAMES = np.random.default_rng(4).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)
ENDED = 1_700_000_000_000
PYTHON = Path(sys.executable).absolute()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two stored classifiers; the baseline was trained on smaller frames than are stored."""
    root = tmp_path_factory.mktemp("models")
    for name, start, side in (("baseline", None, BASELINE_SIDE), ("paper", "filter", SIDE)):
        trained_on = models.TrainedOn(frames_per_clip=3, size=SIDE, side=side)
        models.save(classifier(start), CLASSES, trained_on, root / name)
    return {name: root / name for name in ("baseline", "paper")}


@pytest.fixture
def client(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    return MlflowClient(uri)


def ended_run(client: MlflowClient) -> str:
    found = client.get_experiment_by_name("stemtune")
    experiment = found.experiment_id if found else client.create_experiment("stemtune")
    run = client.create_run(experiment).info.run_id
    client.set_terminated(run, "FAILED", ENDED)
    return run


def publish(client: MlflowClient, folder: Path, digest: str = "d1", alias: str = "stem") -> str:
    return registry.publish(client, ended_run(client), folder.name, alias, folder, digest)


def versions(client: MlflowClient) -> dict[int, str]:
    """Returns the digest of each version."""
    found = client.search_model_versions("name = 'stemtune'")
    return {int(version.version): version.tags["dvc.md5"] for version in found}


def logged_models(client: MlflowClient) -> list[str]:
    experiment = client.get_experiment_by_name("stemtune")
    assert experiment
    return [model.model_id for model in client.search_logged_models([experiment.experiment_id])]


def outputs(client: MlflowClient, run: str) -> list[str]:
    shown = client.get_run(run).outputs
    return [model.model_id for model in shown.model_outputs]


def test_equal_content_is_uploaded_once_and_shown_under_each_run(
    client: MlflowClient, folders: dict[str, Path]
) -> None:
    runs = [ended_run(client) for _ in range(2)]
    for run in (*runs, *runs):
        registry.publish(client, run, "paper", "stem", folders["paper"], "d1")
    assert versions(client) == {1: "d1"}
    (model,) = logged_models(client)
    assert [outputs(client, run) for run in runs] == [[model], [model]]
    for run in runs:
        info = client.get_run(run).info
        assert (info.status, info.end_time) == ("FAILED", ENDED)
    logged = client.get_logged_model(model)
    assert (logged.name, logged.status.value) == ("paper", "READY")
    assert json.loads(logged.tags["mlflow.modelVersions"]) == [{"name": "stemtune", "version": 1}]


def test_an_alias_follows_what_was_published_last(
    client: MlflowClient, folders: dict[str, Path]
) -> None:
    publish(client, folders["baseline"], "d0", "baseline")
    assert [publish(client, folders["paper"], digest) for digest in ("d1", "d2")] == ["2", "3"]
    assert client.get_registered_model("stemtune").aliases == {"baseline": 1, "stem": 3}
    assert publish(client, folders["paper"], "d1") == "2"
    assert client.get_registered_model("stemtune").aliases == {"baseline": 1, "stem": 2}


def test_other_code_is_another_version(
    client: MlflowClient, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(client, folders["paper"])
    changed = tmp_path / "stemtune"
    shutil.copytree(registry.PACKAGE, changed)
    with (changed / "video.py").open("a") as module:
        module.write("# changed\n")
    monkeypatch.setattr(registry, "PACKAGE", changed)
    assert [publish(client, folders["paper"]) for _ in range(2)] == ["2", "2"]


def test_a_missing_folder_leaves_no_version(client: MlflowClient, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere.*dvc repro"):
        publish(client, tmp_path / "nowhere")
    assert versions(client) == {}


def test_what_is_logged_is_what_the_classifier_needs(
    client: MlflowClient, folders: dict[str, Path]
) -> None:
    modules = {f"stemtune/{module}" for module in registry.MODULES} | {"stemtune/served.py"}
    assert modules - {"stemtune/__init__.py"} == reached(ROOT / "stemtune/served.py")
    imported: set[str] = set()
    for module in modules:
        for node in ast.walk(ast.parse((ROOT / module).read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module).split(".")[0])
    providers = metadata.packages_distributions()
    needed = [{name.lower() for name in providers[each]} for each in imported & set(providers)]
    pinned = dict(line.split("==") for line in registry.requirements())
    assert all(names & set(pinned) for names in needed)
    assert set(pinned) <= set.union(*needed)
    assert all(metadata.version(name) == version for name, version in pinned.items())
    publish(client, folders["paper"])
    path = mlflow.artifacts.download_artifacts("models:/stemtune@stem/requirements.txt")
    assert Path(path).read_text().split() == registry.requirements()


@pytest.fixture
def loaded(
    client: MlflowClient, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> mlflow.pyfunc.PyFuncModel:
    # Loading puts the logged code on the path.
    monkeypatch.setattr(sys, "path", list(sys.path))
    publish(client, folders["paper"])
    return mlflow.pyfunc.load_model("models:/stemtune@stem")


def test_a_wrong_input_is_refused_in_words(
    loaded: mlflow.pyfunc.PyFuncModel, tmp_path: Path, write_clip: WriteClip
) -> None:
    no_clip = tmp_path / "no_clip.mp4"
    no_clip.write_text("no video")
    for wrong, message in (
        (FRAMES.astype(np.float32), rf"uint8.*got one of shape \(3, {SIDE}, {SIDE}, 3\).*float32"),
        (FRAMES[0], rf"\(n, h, w, 3\).*got one of shape \({SIDE}, {SIDE}, 3\) of uint8"),
        (FRAMES[..., :1], r"\(n, h, w, 3\).*got one of shape"),
        (FRAMES[:0], r"from 1 on; got one of shape \(0,"),
        (np.full((1, 4, 4, 3), 256, object), "whole numbers from 0 to 255"),
        (np.full((1, 4, 4, 3), 0.5, object), "whole numbers from 0 to 255"),
        (np.array([str(tmp_path / "nowhere.mp4")]), r"there is no clip .*nowhere\.mp4"),
        (np.array([str(no_clip)]), r"the clip .*no_clip\.mp4 cannot be decoded"),
    ):
        with pytest.raises(MlflowException, match=message):
            loaded.predict(wrong)


def test_a_clip_has_the_mean_of_its_frames_however_it_is_named(
    loaded: mlflow.pyfunc.PyFuncModel, write_clip: WriteClip
) -> None:
    paths = [str(write_clip("one.mp4", [20, 90, 200, 250])), str(write_clip("two.mp4", [120] * 5))]
    found = loaded.predict(np.array(paths))
    assert list(found.columns) == CLASSES
    for path, row in zip(paths, found.to_numpy(), strict=True):
        sample = video.sample_frames(Path(path), 3, SIDE, LIMITS)
        assert np.allclose(row, loaded.predict(sample.frames).to_numpy().mean(axis=0), atol=1e-6)
    assert loaded.predict(pd.DataFrame({"clip": paths})).equals(found)
    assert loaded.predict(pd.Series(paths)).equals(found)


def test_a_still_image_and_its_pixels_are_one(
    loaded: mlflow.pyfunc.PyFuncModel, tmp_path: Path
) -> None:
    from PIL import Image

    pixels = np.random.default_rng(5).integers(0, 256, (90, 120, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "still.png")
    by_path = loaded.predict(np.array([str(tmp_path / "still.png")]))
    assert np.array_equal(by_path, loaded.predict(pixels[None]))


ELSEWHERE = """
import json, sys
import mlflow
import numpy as np
assert not any("stemtune" in path for path in sys.path), sys.path
frames, clip = np.load(sys.argv[1]), sys.argv[2]
answers = {}
for alias in ("baseline", "stem"):
    model = mlflow.pyfunc.load_model(f"models:/stemtune@{alias}")
    tables = model.predict(frames), model.predict(np.array([clip]))
    answers[alias] = [table.to_numpy().tolist() for table in tables]
print(json.dumps(answers))
"""


def environment(**more: str) -> dict[str, str]:
    """Returns that of a shell where the project's environment is active, but not its folder."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    path = f"{PYTHON.parent}{os.pathsep}{os.environ['PATH']}"
    return kept | {"PATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"} | more


def check_elsewhere(folders: dict[str, Path], tmp_path: Path, write_clip: WriteClip) -> None:
    """Asserts that a process in an empty folder answers as the pipeline's own models do."""
    clip = write_clip("clip.mp4", [20, 90, 200, 250])
    np.save(tmp_path / "frames.npy", FRAMES)
    empty = tmp_path / "empty"
    empty.mkdir()
    command = [str(PYTHON), "-c", ELSEWHERE, str(tmp_path / "frames.npy"), str(clip)]
    done = subprocess.run(command, cwd=empty, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    sample = video.sample_frames(clip, 3, SIDE, LIMITS).frames
    for alias, name, side in (("baseline", "baseline", BASELINE_SIDE), ("stem", "paper", None)):
        own = models.predictor(models.load(folders[name]), side)
        assert np.allclose(answers[alias][0], own(FRAMES), atol=1e-6)
        assert np.allclose(answers[alias][1], [own(sample).mean(axis=0)], atol=1e-6)


@pytest.mark.slow
def test_a_process_without_this_project_answers_alike(
    client: MlflowClient, folders: dict[str, Path], tmp_path: Path, write_clip: WriteClip
) -> None:
    publish(client, folders["baseline"], "d0", "baseline")
    publish(client, folders["paper"], "d1", "stem")
    check_elsewhere(folders, tmp_path, write_clip)


@contextmanager
def served(command: list[str], port: int, folder: Path) -> Iterator[str]:
    """Runs a server on 127.0.0.1 until the block ends; yields its address."""
    log = folder / "server.log"
    address = f"http://127.0.0.1:{port}"
    with log.open("w") as lines:
        process = subprocess.Popen(
            [str(PYTHON.parent / "mlflow"), *command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder,
            env=environment(),
            stdout=lines,
            stderr=lines,
            start_new_session=True,
        )
    try:
        for _ in range(240):
            try:
                requests.get(f"{address}/health", timeout=5).raise_for_status()
                break
            except requests.RequestException:
                assert process.poll() is None, log.read_text()
                time.sleep(0.5)
        else:
            pytest.fail(f"{command} did not answer:\n{log.read_text()}")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)


def post(address: str, content: Any) -> Any:
    """Returns the predictions, or the message of what was refused."""
    answer = requests.post(f"{address}/invocations", json=content, timeout=120)
    assert answer.status_code in (200, 400)
    return answer.json()["predictions" if answer.ok else "message"]


@pytest.mark.slow
def test_a_served_classifier_answers_requests(
    client: MlflowClient, folders: dict[str, Path], tmp_path: Path, write_clip: WriteClip
) -> None:
    publish(client, folders["paper"])
    clip = str(write_clip("clip.mp4", [20, 90, 200, 250]))
    own = models.predictor(models.load(folders["paper"]))
    sample = video.sample_frames(Path(clip), 3, SIDE, LIMITS).frames
    port = free_port()
    model = ["models", "serve", "-m", "models:/stemtune@stem", "--env-manager", "local"]
    with served(model, port, tmp_path) as address:
        answer = post(address, {"inputs": FRAMES[:2].tolist()})
        assert list(answer[0]) == CLASSES
        assert np.allclose([list(row.values()) for row in answer], own(FRAMES[:2]), atol=1e-6)
        by_path = post(address, {"inputs": [clip]})
        assert np.allclose(list(by_path[0].values()), own(sample).mean(axis=0), atol=1e-6)
        assert post(address, {"instances": [clip]}) == by_path
        table = {"columns": ["clip"], "data": [[clip]]}
        assert post(address, {"dataframe_split": table}) == by_path
        assert "there is no clip /nowhere.mp4" in post(address, {"inputs": ["/nowhere.mp4"]})
        assert "whole numbers from 0 to 255" in post(address, {"inputs": [[[[1, 2, 300]]]]})
        assert "equal size" in post(address, {"inputs": [[[[1, 2, 3]]], [[[1, 2, 3]] * 2]]})


@pytest.mark.slow
def test_a_server_that_keeps_the_artifacts_itself_does_as_well(
    folders: dict[str, Path],
    tmp_path: Path,
    write_clip: WriteClip,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    server = ["server", "--backend-store-uri", "sqlite:///mlflow.db"]
    server += ["--artifacts-destination", str(folder / "artifacts"), "--workers", "1"]
    with served(server, free_port(), folder) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        mlflow.set_tracking_uri(address)
        client = MlflowClient(address)
        for _ in range(2):
            publish(client, folders["baseline"], "d0", "baseline")
            publish(client, folders["paper"], "d1", "stem")
        assert versions(client) == {1: "d0", 2: "d1"}
        check_elsewhere(folders, tmp_path, write_clip)


RACER = """
import sys, time
from pathlib import Path
from mlflow.tracking import MlflowClient
from stemtune import registry
client, (run, folder, go) = MlflowClient(), sys.argv[1:]
Path(f"{go}.{run}").touch()
while not Path(go).exists():
    time.sleep(0.01)
print(registry.publish(client, run, "paper", "stem", Path(folder), "d1"))
"""


@pytest.mark.slow
def test_two_publishers_at_once_leave_one_version(
    client: MlflowClient, folders: dict[str, Path], tmp_path: Path
) -> None:
    runs, go = [ended_run(client) for _ in range(2)], tmp_path / "go"
    racers = [
        subprocess.Popen(
            [str(PYTHON), "-c", RACER, run, str(folders["paper"]), str(go)],
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


KILLED = """
import os, signal, sys
from pathlib import Path
from mlflow.tracking import MlflowClient
from stemtune import registry
run, folder, call = sys.argv[1:]
after = call.startswith("after ")
call = call.removeprefix("after ")
original = getattr(MlflowClient, call)

def killing(*arguments, **named):
    if after:
        original(*arguments, **named)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(MlflowClient, call, killing)
registry.publish(MlflowClient(), run, "paper", "stem", Path(folder), "d1")
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
    client: MlflowClient, folders: dict[str, Path], call: str
) -> None:
    run = ended_run(client)
    command = [str(PYTHON), "-c", KILLED, run, str(folders["paper"]), call]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    version = registry.publish(client, run, "paper", "stem", folders["paper"], "d1")
    assert versions(client) == {int(version): "d1"}
    assert client.get_registered_model("stemtune").aliases == {"stem": int(version)}
    (model,) = logged_models(client)
    assert outputs(client, run) == [model]
    logged = client.get_logged_model(model)
    assert logged.status.value == "READY"
    assert "mlflow.modelVersions" in logged.tags
    stored = Path(mlflow.artifacts.download_artifacts("models:/stemtune@stem/artifacts/paper"))
    assert files.sha256(stored / models.WEIGHTS_FILE) == files.sha256(
        folders["paper"] / models.WEIGHTS_FILE
    )
