"""Registered classifiers at work, also where this project is not installed."""

import ast
import json
import os
import subprocess
import sys
import tracemalloc
from importlib import metadata
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel
from mlflow.tracking import MlflowClient
from PIL import Image

from stemtune.commands.main import main
from stemtune.core import params
from stemtune.media import decoding
from stemtune.networks import classifier
from stemtune.serving.requested_clips import LIMITS
from stemtune.tracking import packaging
from tests.support import servers
from tests.support.classifiers import CLASSES, SIDE
from tests.support.clips import WriteClip, as_bytes
from tests.support.imports import reached
from tests.support.project import ROOT
from tests.support.registered import BASELINE_SIDE, publish, versions

FRAMES = np.random.default_rng(4).integers(0, 256, (3, SIDE, SIDE, 3), np.uint8)
PYTHON = Path(sys.executable).absolute()


def test_what_is_logged_is_what_the_classifier_needs(
    client: MlflowClient, folders: dict[str, Path]
) -> None:
    found = packaging.modules(packaging.PACKAGE)
    modules = {f"stemtune/{path}" for path in found if not path.endswith("__init__.py")}
    assert modules == reached(ROOT / "stemtune" / packaging.SERVED)
    imported: set[str] = set()
    for module in modules:
        for node in ast.walk(ast.parse((ROOT / module).read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module).split(".")[0])
    providers = metadata.packages_distributions()
    # Names are given with "_" as well as with "-".
    needed = [
        {name.lower().replace("_", "-") for name in providers[each]}
        for each in imported & set(providers)
    ]
    lines = [line.split("==") for line in packaging.requirements()]
    pinned = {name.replace("_", "-"): version for name, version in lines}
    assert all(names & set(pinned) for names in needed)
    assert set(pinned) <= set.union(*needed)
    assert all(metadata.version(name) == version for name, version in pinned.items())
    publish(client, folders["stemmed"])
    path = mlflow.artifacts.download_artifacts("models:/stemtune@stem/requirements.txt")
    assert Path(path).read_text().split() == packaging.requirements()


def test_what_is_served_takes_the_clips_that_the_pipeline_takes_by_default() -> None:
    own = params.load(ROOT / "params.yaml").extract_frames.limits
    # MLflow's server answers for itself after a minute.
    assert own.model_copy(update={"decode_seconds": LIMITS.decode_seconds}) == LIMITS


@pytest.fixture
def loaded(
    client: MlflowClient, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> PyFuncModel:
    # Loading puts the logged code on the path.
    monkeypatch.setattr(sys, "path", list(sys.path))
    publish(client, folders["stemmed"])
    return mlflow.pyfunc.load_model("models:/stemtune@stem")


def test_a_wrong_input_is_refused_in_words(
    loaded: PyFuncModel, tmp_path: Path, write_clip: WriteClip
) -> None:
    clip, no_clip = write_clip("clip.mp4", [20, 90]), tmp_path / "no_clip.mp4"
    no_clip.write_text("no video")
    for wrong, message in (
        (FRAMES.astype(np.float32), rf"uint8.*got one of shape \(3, {SIDE}, {SIDE}, 3\).*float32"),
        (FRAMES[0], rf"\(n, h, w, 3\).*got one of shape \({SIDE}, {SIDE}, 3\) of uint8"),
        (FRAMES[..., :1], r"\(n, h, w, 3\).*got one of shape"),
        (FRAMES[:0], r"from 1 on; got one of shape \(0,"),
        (np.full((1, 4, 4, 3), 256, object), "whole numbers from 0 to 255"),
        (np.full((1, 4, 4, 3), 0.5, object), "whole numbers from 0 to 255"),
        (np.array([str(tmp_path / "nowhere.mp4")]), r"nowhere\.mp4' is not the bytes of a clip"),
        (np.array([str(clip)]), r"opens no paths, as STEMTUNE_CLIPS names no folder"),
        (np.array([as_bytes(no_clip)]), r"clip 1 of 1 cannot be decoded"),
        (np.array([as_bytes(clip), as_bytes(no_clip)]), r"clip 2 of 2 cannot be decoded"),
    ):
        with pytest.raises(MlflowException, match=message):
            loaded.predict(wrong)


def test_many_frames_take_little_memory_and_no_more_time_than_clips(
    client: MlflowClient, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    publish(client, folders["stemmed"])
    frames = np.zeros((4096, 1, 1, 3), np.uint8)
    model = mlflow.pyfunc.load_model("models:/stemtune@stem")
    tracemalloc.start()
    assert len(answers(model, frames)) == 4096
    # All of them scaled at once were 64 MB.
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()
    with monkeypatch.context() as patch:
        patch.setenv("STEMTUNE_DECODE_SECONDS", "1e-9")
        model = mlflow.pyfunc.load_model("models:/stemtune@stem")
    said = "classified 32 of 4096 frames in the 1e-09 s that STEMTUNE_DECODE_SECONDS allows; send"
    with pytest.raises(MlflowException, match=said):
        model.predict(frames)


def answers(model: PyFuncModel, asked: Any) -> pd.DataFrame:
    found = model.predict(asked)
    assert isinstance(found, pd.DataFrame)
    return found


def test_a_clip_has_the_mean_of_its_frames_however_it_is_named(
    loaded: PyFuncModel, write_clip: WriteClip
) -> None:
    paths = [write_clip("one.mp4", [20, 90, 200, 250]), write_clip("two.mp4", [120] * 5)]
    clips = [as_bytes(path) for path in paths]
    found = answers(loaded, np.array(clips))
    assert list(found.columns) == CLASSES
    for path, row in zip(paths, found.to_numpy(), strict=True):
        sample = decoding.sample_frames(path, 3, SIDE, LIMITS)
        assert np.allclose(row, answers(loaded, sample.frames).to_numpy().mean(axis=0), atol=1e-6)
    assert answers(loaded, pd.DataFrame({"clip": clips})).equals(found)
    assert answers(loaded, pd.Series(clips)).equals(found)


def test_a_still_image_and_its_pixels_are_one(loaded: PyFuncModel, tmp_path: Path) -> None:
    pixels = np.random.default_rng(5).integers(0, 256, (90, 120, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "still.png")
    of_clip = loaded.predict(np.array([as_bytes(tmp_path / "still.png")]))
    assert np.array_equal(of_clip, loaded.predict(pixels[None]))


def test_the_command_classifies_with_a_registered_model(
    client: MlflowClient,
    folders: dict[str, Path],
    write_clip: WriteClip,
    capsys: pytest.CaptureFixture[str],
) -> None:
    publish(client, folders["stemmed"])
    clip = write_clip("clip.mp4", [20, 90, 200, 250])
    assert main(["classify", "--json", "--model", "models:/stemtune@stem", str(clip)]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    own = classifier.load(folders["stemmed"]).predictor()
    sample = decoding.sample_frames(clip, 3, SIDE, LIMITS)
    expected = own(sample.frames).mean(axis=0)
    assert np.allclose(list(answer["probabilities"].values()), expected, atol=1e-6)
    assert main(["classify", "--model", "models:/stemtune@other", str(clip)]) == 2
    assert "models:/stemtune@other: Registered model alias" in capsys.readouterr().err


ELSEWHERE = """
import importlib.util, json, sys
# Where the project is installed, as it is for its command.
sys.path.remove(sys.argv[3]) if sys.argv[3] in sys.path else None
assert importlib.util.find_spec("stemtune") is None, sys.path
import mlflow
import numpy as np
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
    return os.environ | servers.MLFLOW_ENVIRONMENT | {"PYTHONPATH": ""} | more


def check_elsewhere(folders: dict[str, Path], tmp_path: Path, write_clip: WriteClip) -> None:
    """Asserts that a process in an empty folder answers as the pipeline's own models do."""
    clip = write_clip("clip.mp4", [20, 90, 200, 250])
    np.save(tmp_path / "frames.npy", FRAMES)
    empty = tmp_path / "empty"
    empty.mkdir()
    command = [str(PYTHON), "-c", ELSEWHERE, str(tmp_path / "frames.npy"), clip.name, str(ROOT)]
    env = environment(STEMTUNE_CLIPS=str(clip.parent))
    done = subprocess.run(command, cwd=empty, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    sample = decoding.sample_frames(clip, 3, SIDE, LIMITS).frames
    for alias, name, side in (
        ("baseline", "baseline", BASELINE_SIDE),
        ("stem", "stemmed", None),
    ):
        own = classifier.load(folders[name]).predictor(side)
        assert np.allclose(answers[alias][0], own(FRAMES), atol=1e-6)
        assert np.allclose(answers[alias][1], [own(sample).mean(axis=0)], atol=1e-6)


@pytest.mark.slow
def test_a_process_without_this_project_answers_alike(
    client: MlflowClient, folders: dict[str, Path], tmp_path: Path, write_clip: WriteClip
) -> None:
    publish(client, folders["baseline"], "d0", "baseline")
    publish(client, folders["stemmed"], "d1", "stem")
    check_elsewhere(folders, tmp_path, write_clip)


@pytest.mark.slow
def test_a_server_that_keeps_the_artifacts_itself_does_as_well(
    folders: dict[str, Path],
    tmp_path: Path,
    write_clip: WriteClip,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    artifacts = str(folder / "artifacts")
    with servers.mlflow_server(folder, "sqlite:///mlflow.db", artifacts, guarded=False) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
        mlflow.set_tracking_uri(server.address)
        client = MlflowClient(server.address)
        for _ in range(2):
            publish(client, folders["baseline"], "d0", "baseline")
            publish(client, folders["stemmed"], "d1", "stem")
        assert versions(client) == {1: "d0", 2: "d1"}
        check_elsewhere(folders, tmp_path, write_clip)
