"""`stemtune leaks` finds footage that splits or folders of any folder share."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stemtune.commands import leaks
from stemtune.commands.main import main
from tests.support import clips
from tests.support.project import ROOT


def recoded(frames: list[np.ndarray]) -> list[np.ndarray]:
    """Returns frames in another size, as another program would have scaled them."""
    return [np.asarray(Image.fromarray(frame).resize((160, 112))) for frame in frames]


def leaks_of(data: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, Any]:
    """Returns the exit code, and what `--json` prints."""
    status = main(["leaks", str(data), "--json", *more])
    return status, json.loads(capsys.readouterr().out)


def test_what_splits_share_comes_before_what_folders_share(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "any"
    for seed, name in enumerate(("train/knit/a", "train/knit/b", "test/purl/c", "val/knit/d")):
        clips.write_frames(data / f"{name}.mp4", clips.scene(seed))
    clips.write_frames(data / "test/knit/again.mkv", recoded(clips.scene(0)))
    shutil.copy(data / "train/knit/b.mp4", data / "train/knit/copy of b.mp4")
    shutil.copy(data / "test/purl/c.mp4", data / "test/knit/c.mp4")
    elsewhere = clips.write_frames(tmp_path / "linked.mp4", clips.scene(3))
    (data / "test/purl/link.mp4").symlink_to(elsewhere)
    (data / "notes.txt").write_text("no clip")
    command = [sys.executable, "-m", "stemtune", "leaks", str(data), "--all"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "across splits: test, train",
        "  test/knit/again.mkv",
        "  train/knit/a.mp4",
        "across splits: test, val",
        "  test/purl/link.mp4",
        "  val/knit/d.mp4",
        "across folders: test/knit, test/purl",
        "  test/knit/c.mp4",
        "  test/purl/c.mp4",
        "in one folder: train/knit",
        "  train/knit/b.mp4",
        "  train/knit/copy of b.mp4",
        "",
        "8 clips compared. Sets that share footage: 2 across splits, 1 across folders, 1 in one "
        "folder",
    ]
    assert done.stderr.startswith("stemtune leaks: notes.txt ")
    status, found = leaks_of(data, capsys)
    assert status == 1
    assert [each["across"] for each in found["shared"]] == ["splits", "splits", "folders"]
    assert found["shared"][0]["places"] == ["test", "train"]
    assert (found["compared"], list(found["unreadable"])) == (8, ["notes.txt"])


def test_splits_may_lie_in_the_folders_of_classes() -> None:
    names = ("knit/train2/a", "knit/test2/a", "purl/train2/b", "purl/test2/c")
    seen = {
        name: leaks.Seen([hashed], np.zeros((1, 8, 8, 3), np.uint8), name)
        for name, hashed in zip(
            names, ("0" * 16, "00ff" + "0" * 12, "f" * 16, "0f" * 8), strict=True
        )
    }
    assert leaks.shared(seen, bits=10) == [
        leaks.Shared("splits", ["test2", "train2"], ["knit/test2/a", "knit/train2/a"])
    ]
    assert leaks.shared(seen, bits=7) == []


def test_clips_that_only_share_a_pattern_are_no_leak(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """These have other colors; footage in less light has the same shades."""
    scene = clips.scene(0)
    grey = [np.asarray(Image.fromarray(frame).convert("L"))[..., None] for frame in scene]
    for name, frames in (
        ("knit/a", scene),
        ("purl/pattern", [frame * [0.2, 1, 0.3] for frame in grey]),
        ("purl/darker", [frame * 0.8 for frame in scene]),
    ):
        clips.write_frames(tmp_path / f"{name}.mp4", [frame.astype(np.uint8) for frame in frames])
    _, found = leaks_of(tmp_path, capsys)
    assert [each["clips"] for each in found["shared"]] == [["knit/a.mp4", "purl/darker.mp4"]]


def test_the_exit_code_tells_nothing_found_from_not_all_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, name in enumerate(("knit/a", "purl/b", "purl/c")):
        clips.write_frames(tmp_path / f"{name}.mp4", clips.scene(seed))
    shutil.copy(tmp_path / "purl/b.mp4", tmp_path / "purl/b2.mp4")
    assert leaks_of(tmp_path, capsys) == (0, {"compared": 4, "shared": [], "unreadable": {}})
    (tmp_path / "purl/broken.mp4").write_text("no video")
    status, found = leaks_of(tmp_path, capsys)
    assert (status, found["compared"]) == (3, 4)
    assert "cannot be decoded" in found["unreadable"]["purl/broken.mp4"]
    for nothing in (tmp_path / "nowhere", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        assert main(["leaks", str(nothing)]) == 2
    assert "there is no folder" in capsys.readouterr().err
