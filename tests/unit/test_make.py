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


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """A folder with the Makefile, whose programs write down their arguments."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    programs = tmp_path / ".venv/bin"
    programs.mkdir(parents=True)
    for name in ("python", "dvc", "mlflow"):
        (programs / name).write_text(
            '#!/bin/sh\nfor each; do printf "[%s]" "$each" >> told; done\n'
            'echo "|$MLFLOW_BACKEND_STORE_URI|$PYTHONUTF8" >> told\n'
        )
        (programs / name).chmod(0o755)
    return tmp_path


def make(folder: Path, *arguments: str, **variables: str) -> str:
    """Runs `make` and returns the last line that a program of the environment wrote."""
    old = [f"--old-file={name}" for name in (".venv/ready", "repository", "data", "cache")]
    environment = project.inherited() | variables
    subprocess.run(["make", "--silent", *old, *arguments], cwd=folder, env=environment, check=True)
    return (folder / "told").read_text().rpartition("\n[")[2]


@pytest.mark.parametrize(
    "value",
    ["main;touch x", "$(shell touch x)", "$$(touch x)", "`touch x`", "a'; touch x; '", 'a" b\nx'],
)
def test_what_make_is_given_is_no_command(told: Path, value: str) -> None:
    for how in ("argument", "environment"):
        for target, name in (("ci", "BASE"), ("repro", "PROFILE")):
            if how == "argument":
                make(told, target, f"{name}={value}")
            else:
                make(told, target, **{name: value})
    assert not (told / "x").exists()
    written = (told / "told").read_text()
    assert written.count(f"[--base={value}]") == written.count(f"[profiles][{value}]") == 2


def test_the_address_is_no_argument_of_mlflow_s(told: Path) -> None:
    address = "postgresql://alice:s3cret@host/runs"
    assert make(told, "ui", MLFLOW_TRACKING_URI=address).endswith(f"|{address}|1\n")
    arguments = (told / "told").read_text().replace(f"|{address}|", "")
    assert "s3cret" not in arguments
    assert "sqlite:///mlflow.db" in make(told, "ui")
