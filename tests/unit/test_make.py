"""What `make` sets up beside the environment."""

import shutil
import subprocess
from pathlib import Path

import pytest

from bench import project
from tests.support.project import ROOT


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A DVC repository with this project's Makefile and environment."""
    root = tmp_path / "clone"
    root.mkdir()
    shutil.copy(ROOT / "Makefile", root)
    (root / ".venv").symlink_to(ROOT / ".venv")
    project.prepare(root)
    shutil.rmtree(root / ".dvc/cache", ignore_errors=True)
    return root


def make_cache(root: Path) -> str:
    """Has `make` choose DVC's cache, and returns it as DVC names it; "" for its usual one."""
    variables = project.inherited() | {"HOME": str(root.parent), "XDG_CACHE_HOME": ""}
    # The environment is there, however old its lock looks.
    command = ["make", "--silent", "--old-file", ".venv/ready", "cache"]
    subprocess.run(command, cwd=root, env=variables, check=True)
    return project.attempt(root, ["dvc", "config", "cache.dir"], variables)[1].strip()


def test_clones_of_one_user_share_a_cache(repository: Path) -> None:
    assert make_cache(repository) == str(repository.parent / ".cache/stemtune")


def test_a_cache_that_is_there_stays(repository: Path) -> None:
    (repository / ".dvc/cache").mkdir()
    assert not make_cache(repository)


def test_a_cache_that_is_set_stays(repository: Path, tmp_path: Path) -> None:
    project.run(repository, "dvc", "config", "--local", "cache.dir", str(tmp_path / "mine"))
    assert make_cache(repository) == str(tmp_path / "mine")
