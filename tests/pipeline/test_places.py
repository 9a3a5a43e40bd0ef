"""Where the project, its cache and its data may lie, and MLflow's way in; on still images."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from PIL import Image

from stemtune.core import all_params, files
from tests.support.bucket import serving
from tests.support.mlflow_tree import children, parents, runs
from tests.support.project import ROOT, UNTRACKED, Project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pictures(warm: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A committed project of still images."""
    project = Project(tmp_path_factory.mktemp("pictures"))
    project.environment = warm
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
    other.root, other.environment = place, pictures.environment
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
        before = files.read_yaml(other.root / "data.dvc")
        assert before["deps"][0]["path"] == f"s3://{bucket.name}"
        assert before["outs"][0]["nfiles"] == 13
        assert "up to date" in other.run("dvc", "status", "data.dvc")

        changed = next(source.rglob("light/*.png"))
        name = changed.relative_to(source).as_posix()
        other_picture = next(path for path in source.rglob("light/*.png") if path != changed)
        bucket.client.upload_file(str(other_picture), bucket.name, name)
        other.run("dvc", "update", "data.dvc")
        after = files.read_yaml(other.root / "data.dvc")
        assert after["outs"][0]["md5"] != before["outs"][0]["md5"]
        assert (other.root / "data" / name).read_bytes() == other_picture.read_bytes()
        assert "data" in other.run("git", "diff", "--name-only", "data.dvc")


def test_an_experiment_in_a_copy_is_shown_in_the_project_s_own_store(
    pictures: Project, tmp_path: Path
) -> None:
    other = pictures.clone(tmp_path / "clone")
    other.environment = {}
    other.run("dvc", "cache", "dir", "--local", str(pictures.root / ".dvc/cache"))
    private = tmp_path / "private"
    other.run("dvc", "config", "--local", "core.site_cache_dir", str(private))
    other.run("dvc", "checkout", "--quiet", "data.dvc")
    command = ("dvc", "exp", "run", "-S", "track.enabled=true", "-S")
    for seconds in (61, 62):
        setting = f"extract_frames.limits.decode_seconds={seconds}"
        other.run(*command, setting, "--queue", "--name", f"queued-{seconds}", "extract_frames")
    other.run("dvc", "queue", "start", "--jobs", "2")
    other.run(
        *command,
        "extract_frames.limits.decode_seconds=63",
        "--temp",
        "--name",
        "aside",
        "extract_frames",
    )
    other.run("dvc", "queue", "logs", "queued-61", "--follow")
    other.run("dvc", "queue", "logs", "queued-62", "--follow")
    client = MlflowClient(f"sqlite:///{other.root}/mlflow.db")
    expected = {"queued-61": "61", "queued-62": "62", "aside": "63"}
    wait_until(lambda: [one.info.status for one in runs(client)].count("FINISHED") == 6)
    shown = {run.info.run_name: run for run in parents(client)}
    changed = "dvc.experiment.extract_frames.limits.decode_seconds"
    assert {name: run.data.tags[changed] for name, run in shown.items()} == expected
    for run in shown.values():
        assert run.info.artifact_uri.startswith(f"{other.root}/mlruns/")
        assert set(children(client, run)) == {"extract_frames"}
    # The project, two copies of the queue and one aside: none has its pickles in /var/tmp/dvc.
    assert len(list((private / "repo").iterdir())) == 4


def wait_until(is_so: Callable[[], bool]) -> None:
    """Waits for what the publisher does after the end of its stage."""
    until = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.5)


def test_mlflow_run_brings_the_data_and_sets_params(pictures: Project, tmp_path: Path) -> None:
    other = pictures.clone(tmp_path / "clone")
    other.run("dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    pictures.run("dvc", "remote", "add", "--force", "--local", "store", str(tmp_path / "store"))
    pictures.run("dvc", "push", "--quiet", "--remote", "store", "data.dvc")
    mlflow = ["mlflow", "run", ".", "--env-manager", "local", "-e", "extract_frames"]
    settings = {
        "extract_frames.size": "80",
        "extract_frames.limits.decode_seconds": "60",
        # DVC writes it as 1e-05.
        "ci.max_stem_gap": "0.00001",
    }
    given = [part for key, value in settings.items() for part in ("-P", f"{key}={value}")]
    printed = other.run(*mlflow, *given)
    assert "Running stage 'extract_frames':" in printed
    found = all_params.load(other.root / "params.yaml")
    assert (found.extract_frames.size, found.extract_frames.limits.decode_seconds) == (80, 60)
    assert found.ci.max_stem_gap == 0.00001
    status, printed = other.attempt(*mlflow, "-P", "extract_frames.sizes=80")
    assert status
    assert "extract_frames.sizes" in printed
