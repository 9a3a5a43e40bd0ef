"""The sample clips, as someone who renders or plays them sees them."""

import csv
import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from bench import project
from samples import render
from tests.support.project import ROOT

FIRST, SECOND = render.ClipName("weave", 0, 0), render.ClipName("weave", 0, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered sample set of two clips of one scene."""
    folder = tmp_path_factory.mktemp("samples") / "clips"
    render.render(folder, [FIRST, SECOND], workers=2)
    return folder


def decode(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_a_clip_is_h264_of_the_promised_size_and_length(folder: Path) -> None:
    path = folder / FIRST.path
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.codec_context.width, stream.codec_context.height) == (320, 240)
        assert stream.average_rate == 12
    assert 2 <= len(decode(path)) / 12 <= 3


def test_a_clip_moves(folder: Path) -> None:
    frames = decode(folder / FIRST.path)
    assert np.abs(frames[0].astype(float) - frames[-1]).mean() > 2


def test_a_second_rendering_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    again = render.write_clip(tmp_path, FIRST)
    assert again.read_bytes() == (folder / FIRST.path).read_bytes()


def test_clips_of_one_scene_differ_and_share_a_group(folder: Path) -> None:
    first, second = decode(folder / FIRST.path)[0], decode(folder / SECOND.path)[0]
    assert np.abs(first.astype(float) - second).mean() > 2
    with (folder / "groups.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {"clip": "weave/weave_s00_c0.mp4", "group": "weave_s00"},
        {"clip": "weave/weave_s00_c1.mp4", "group": "weave_s00"},
    ]


def test_nothing_unfinished_is_left_behind(folder: Path) -> None:
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {FIRST.path, SECOND.path, "groups.csv"}


@pytest.mark.parametrize("pattern", render.PATTERNS)
def test_every_pattern_is_equally_bright_and_repeats_without_a_seam(pattern: str) -> None:
    tile = render.make_scene(pattern, 0).tile
    assert tile.mean() == pytest.approx(0.5, abs=0.03)
    assert tile.std() == pytest.approx(0.25, abs=0.03)
    for axis in (0, 1):
        steps = np.abs(np.diff(tile, axis=axis))
        seam = np.abs(tile.take(0, axis) - tile.take(-1, axis))
        assert seam.mean() <= 2 * steps.mean(axis=1 - axis).max()


def test_every_class_has_enough_clips_and_scenes() -> None:
    names = render.clips_of()
    assert len({name.path for name in names}) == len(names)
    for class_name in render.PATTERNS:
        own = [name for name in names if name.class_name == class_name]
        assert len({name.group for name in own}) >= 50


def test_scenes_for_a_confirmation_are_none_of_the_sample_set() -> None:
    new = render.clips_of(first_scene=1000, scenes=20)
    assert len({name.path for name in new}) == 20 * len(render.PATTERNS)
    assert not {name.group for name in new} & {name.group for name in render.clips_of()}


@pytest.mark.parametrize("wrong", [["--first-scene", "-1"], ["--scenes", "0"]])
def test_scenes_that_do_not_exist_are_refused(
    wrong: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        render.main([str(tmp_path), *wrong])
    assert " ".join(wrong) in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("occupied", ["folder", "file"])
def test_a_folder_with_something_in_it_is_refused(
    occupied: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "clips"
    if occupied == "folder":
        target.mkdir()
        (target / "keep.txt").write_text("mine", encoding="utf-8")
    else:
        target.write_text("mine", encoding="utf-8")
    with pytest.raises(SystemExit):
        render.main([str(target)])
    assert f"{target} exists and is not an empty folder" in " ".join(
        capsys.readouterr().err.split()
    )
    assert [path.read_text() for path in tmp_path.rglob("*") if path.is_file()] == ["mine"]


def test_a_clip_that_was_changed_in_the_remote_is_not_pulled(tmp_path: Path) -> None:
    project.prepare(tmp_path)
    for name in (".dvc/config", "data.dvc"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "samples/files", tmp_path / "samples/files")
    changed = max((tmp_path / "samples").rglob("*"), key=lambda path: path.stat().st_size)
    changed.chmod(0o644)
    changed.write_bytes(changed.read_bytes() + b"more")
    status, printed = project.attempt(tmp_path, ["dvc", "pull", "data.dvc"], project.inherited())
    assert status
    assert "Is your cache up to date?" in printed
    name = changed.parent.name + changed.name
    assert not list((tmp_path / ".dvc/cache").rglob(name[2:]))
