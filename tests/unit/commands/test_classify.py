"""What `stemtune classify` prints of clips, of a long video, and of what it cannot read."""

import io
import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from stemtune.commands.main import main
from stemtune.media import decoding
from stemtune.media.sampling import Span
from stemtune.networks import classifier
from stemtune.serving.requested_clips import LIMITS
from tests.support import clips
from tests.support.classifiers import CLASSES, SIDE, tiny_classifier
from tests.support.project import ROOT


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "baseline"
    specification = classifier.InputSpecification(frames_per_clip=3, size=SIDE, side=SIDE)
    classifier.save(tiny_classifier(False), CLASSES, specification, folder)
    return folder


def expected(model: Path, clip: Path, count: int, span: Span | None = None) -> dict[str, float]:
    """Returns the probabilities that the classifier itself gives."""
    predict = classifier.load(model).predictor(SIDE)
    sample = decoding.sample_frames(clip, count, SIDE, LIMITS, span)
    return dict(zip(CLASSES, map(float, predict(sample.frames).mean(axis=0)), strict=True))


def test_each_clip_is_a_row_and_what_cannot_be_read_is_named(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = [clips.write_frames(tmp_path / f"{seed}.mp4", clips.scene(seed)) for seed in range(2)]
    broken, missing = tmp_path / "broken.mp4", tmp_path / "missing.mp4"
    broken.write_text("no video")
    named = [str(path) for path in (good[0], broken, missing, tmp_path, good[1])]
    assert main(["classify", "--model", str(model), *named]) == 1
    out, err = capsys.readouterr()
    header, _, *rows = out.splitlines()
    assert header.split() == ["clip", "class", "probability", "ms"]
    for path, row in zip(good, rows, strict=True):
        clip, best, probability, milliseconds = row.split()
        probabilities = expected(model, path, 3)
        assert (clip, best) == (str(path), max(probabilities, key=probabilities.__getitem__))
        assert float(probability) == pytest.approx(probabilities[best], abs=6e-4)
        assert float(milliseconds) > 0
    assert err.splitlines() == [
        f"stemtune classify: {broken} cannot be decoded: it is damaged, or is no picture or "
        "video of a kind that is read here",
        f"stemtune classify: {missing} does not exist",
        f"stemtune classify: {tmp_path} is a folder; name the clips in it",
        f"{model} answered, from 3 frames each time; ms include reading them",
    ]
    assert main(["classify", "--model", str(model), "--json", *named[:2]]) == 1
    answer, problem = json.loads(capsys.readouterr().out)
    assert answer["clip"] == str(good[0])
    assert answer["probabilities"] == pytest.approx(expected(model, good[0], 3), abs=1e-6)
    assert answer["probability"] == answer["probabilities"][answer["class"]]
    assert problem["clip"] == str(broken)
    assert "cannot be decoded" in problem["error"]


def test_names_come_from_standard_input_and_answers_as_lines(
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = clips.write_frames(tmp_path / "good one.mp4", clips.scene(1))
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{good}\nnone.mp4\n\n"))
    assert main(["classify", "--model", str(model), "--jsonl", "-", str(good)]) == 1
    first, missing, again = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["clip"] == again["clip"] == str(good)
    assert first["probabilities"] == pytest.approx(expected(model, good, 3), abs=1e-6)
    assert missing == {"clip": "none.mp4", "error": "does not exist"}
    assert main(["classify", "--model", str(model), "--json", "none.mp4"]) == 2
    assert json.loads(capsys.readouterr().out) == [missing]


@pytest.mark.parametrize("clip", ["missing.mp4", __file__])
def test_where_there_is_no_model_nothing_but_that_is_said(clip: str) -> None:
    command = [sys.executable, "-m", "stemtune", "classify", "--model", "nowhere", clip]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["demo", "--port", "70000"], "a whole number from 0 to 65535 is expected, not '70000'"),
        (["leaks", "--frames", "300", "."], "a whole number from 1 to 256 is expected, not '300'"),
        (["leaks", "--bits", "-1", "."], "a whole number from 0 to 31 is expected, not '-1'"),
    ],
)
def test_a_number_out_of_range_is_told_in_a_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    err = capsys.readouterr().err
    assert said in err
    assert len(err) < 500


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"stemtune {metadata.version('stemtune')}\n"


def test_a_long_video_is_a_row_per_part(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenes = [frame for seed in range(3) for frame in clips.scene(seed, frames=10)]
    long = clips.write_frames(tmp_path / "long.mp4", scenes[:25], rate=5)
    still = tmp_path / "still.png"
    still.write_bytes(clips.bomb(100))
    command = ["classify", "--model", str(model), "--every", "2", "--frames", "2"]
    assert main([*command, "--json", str(long), str(still)]) == 0
    *parts, picture = json.loads(capsys.readouterr().out)
    spans = [Span(0, 2), Span(2, 4), Span(4, 5)]
    assert [(part["from"], part["to"]) for part in parts] == spans
    for part, span in zip(parts, spans, strict=True):
        assert part["probabilities"] == pytest.approx(expected(model, long, 2, span), abs=1e-6)
    assert (picture["clip"], "from" in picture) == (str(still), False)
    assert main([*command, str(long)]) == 0
    header, _, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["clip", "from", "to", "class", "probability", "ms"]
    assert [row.split()[1:3] for row in rows] == [
        ["0:00", "0:02"],
        ["0:02", "0:04"],
        ["0:04", "0:05"],
    ]


def test_a_very_long_video_is_decoded_in_goes(
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scenes = [frame for seed in range(6) for frame in clips.scene(seed, frames=5)]
    long = clips.write_frames(tmp_path / "long.mp4", scenes, rate=5)
    command = ["classify", "--model", str(model), "--every", "1", "--frames", "2", "--json"]
    found = []
    for most in (1024, 4):
        monkeypatch.setattr("stemtune.commands.classify.CHUNK", most)
        assert main([*command, str(long)]) == 0
        parts = json.loads(capsys.readouterr().out)
        found.append([[part["from"], *part["probabilities"].values()] for part in parts])
    assert np.shape(found[0]) == (6, 1 + len(CLASSES))
    assert np.allclose(found[0], found[1], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "nowhere", "a.mp4"], "there is no model nowhere; name a folder"),
        (["--model", "models:/stemtune@x", "a.mp4"], r"there is no models:/stemtune@x: mlflow\.db"),
        (["--every", "0", "a.mp4"], "--every: seconds above 0 are expected, not '0'"),
        (["--frames", "2.5", "a.mp4"], "--frames: a whole number from 1 on is expected"),
        ([], "required: CLIP"),
    ],
)
def test_what_cannot_be_done_at_all_is_exit_code_2(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    try:
        status: object = main(["classify", *arguments])
    except SystemExit as error:
        status = error.code
    assert status == 2
    out, err = capfd.readouterr()
    assert not out
    assert re.search(said, err)
    assert not list(tmp_path.iterdir())
