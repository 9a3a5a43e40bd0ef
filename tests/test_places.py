"""Where the project, its cache and its data may lie, and MLflow's way in; on still images."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from PIL import Image

from tests.bucket import serving
from tests.conftest import ROOT, UNTRACKED, Project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A committed project of still images."""
    project = Project(tmp_path_factory.mktemp("pictures"))
    project.set_params(extract_frames={"size": 72, "frames_per_clip": 1}, track=UNTRACKED)
    project.add_pictures(per_split=2, side=80)
    for name in ("MLproject", "python_env.yaml"):
        shutil.copy(ROOT / name, project.root)
    project.commit("Two classes of noise")
    yield project
    project.remove()


def test_a_worktree_with_spaces_and_cyrillic_letters_in_its_path(
    pictures: Project, tmp_path: Path
) -> None:
    place = tmp_path / "рабочее дерево ветки"
    pictures.run("git", "worktree", "add", "--quiet", "-b", "side", str(place))
    other = Project.__new__(Project)
    other.root, other.environment = place, {}
    cache = pictures.root / ".dvc/cache"
    other.run("dvc", "cache", "dir", "--local", str(cache))
    other.run("dvc", "checkout", "--quiet", "data.dvc")
    printed = other.run("dvc", "repro", "extract_frames")
    assert "Running stage 'extract_frames':" in printed
    assert "extract_frames: 12 clips of 2 classes; 12 decoded" in printed
    assert "didn't change, skipping" in other.run("dvc", "repro", "extract_frames")
    assert other.run("git", "status", "--porcelain") == "?? dvc.lock\n?? metrics/\n"


@pytest.mark.parametrize("link", ["copy", "symlink"])
def test_the_cache_on_another_file_system(pictures: Project, tmp_path: Path, link: str) -> None:
    other = pictures.clone(tmp_path / "clone")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        cache = Path(elsewhere) / "cache"
        shutil.copytree(pictures.root / ".dvc/cache", cache)
        assert cache.stat().st_dev != other.root.stat().st_dev
        other.run("dvc", "cache", "dir", "--local", str(cache))
        other.run("dvc", "config", "--local", "cache.type", link)
        other.run("dvc", "checkout", "--quiet", "data.dvc")
        clip = next((other.root / "data").rglob("*.png"))
        assert clip.is_symlink() == (link == "symlink")
        with Image.open(clip) as opened:
            picture = opened.copy()
        assert "; 12 decoded, 0 reused" in other.run("dvc", "repro", "extract_frames")
        kept = contents(cache)
        clip.unlink()
        picture.rotate(90).save(clip)
        assert "; 1 decoded, 11 reused" in other.run("dvc", "repro", "extract_frames")
        # Nothing was written through a link into what the cache holds.
        assert kept.items() <= contents(cache).items()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("files/**/*") if path.is_file()}


def test_data_in_a_bucket_that_change_there_change_here(pictures: Project, tmp_path: Path) -> None:
    other = pictures.clone(tmp_path / "clone")
    with serving("clips", str(tmp_path)) as bucket:
        other.environment = bucket.environment
        source = pictures.root / "data"
        for path in source.rglob("*.*"):
            bucket.client.upload_file(str(path), bucket.name, path.relative_to(source).as_posix())
        (other.root / "data.dvc").unlink()
        other.run("dvc", "import-url", f"s3://{bucket.name}", "data")
        before = yaml.safe_load((other.root / "data.dvc").read_text())
        assert before["deps"][0]["path"] == f"s3://{bucket.name}"
        assert before["outs"][0]["nfiles"] == 13
        assert "up to date" in other.run("dvc", "status", "data.dvc")

        changed = next(source.rglob("light/*.png"))
        name = changed.relative_to(source).as_posix()
        other_picture = next(path for path in source.rglob("light/*.png") if path != changed)
        bucket.client.upload_file(str(other_picture), bucket.name, name)
        other.run("dvc", "update", "data.dvc")
        after = yaml.safe_load((other.root / "data.dvc").read_text())
        assert after["outs"][0]["md5"] != before["outs"][0]["md5"]
        assert (other.root / "data" / name).read_bytes() == other_picture.read_bytes()
        assert "data" in other.run("git", "diff", "--name-only", "data.dvc")


def test_mlflow_run_brings_the_data_and_sets_params(pictures: Project, tmp_path: Path) -> None:
    other = pictures.clone(tmp_path / "clone")
    other.run("dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    pictures.run("dvc", "remote", "add", "--force", "--local", "store", str(tmp_path / "store"))
    pictures.run("dvc", "push", "--quiet", "--remote", "store", "data.dvc")
    mlflow = ["mlflow", "run", ".", "--env-manager", "local", "-e", "extract_frames"]
    printed = other.run(
        *mlflow, "-P", "extract_frames.size=80", "-P", "extract_frames.limits.seconds=60"
    )
    assert "Running stage 'extract_frames':" in printed
    settings = yaml.safe_load((other.root / "params.yaml").read_text())["extract_frames"]
    assert (settings["size"], settings["limits"]["seconds"]) == (80, 60)
    status, printed = other.attempt(*mlflow, "-P", "extract_frames.sizes=80")
    assert status
    assert "extract_frames.sizes" in printed
