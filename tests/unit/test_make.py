"""What `make` sets up beside the environment."""

import shutil
import subprocess
from pathlib import Path

import pytest
from dvc.config import Config

from bench import project
from tests.support.project import OTHERS_PROJECT, ROOT


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


def make_target(root: Path, target: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs `make` in a project whose environment is there, however old its lock looks."""
    environment = project.inherited() | {"HOME": str(root.parent), "XDG_CACHE_HOME": ""}
    command = ["make", "--silent", "--old-file", ".venv/ready", target]
    return subprocess.run(
        command, cwd=root, env=environment | variables, capture_output=True, text=True
    )


def make_folders(root: Path) -> dict[str, str]:
    """Has `make` choose DVC's folders, and returns those that are set."""
    done = make_target(root, "cache")
    assert (done.returncode, done.stderr) == (0, "")
    return folders(root)


def folders(root: Path) -> dict[str, str]:
    config = Config(str(root / ".dvc"))
    found = {"cache": config["cache"].get("dir"), "site": config["core"].get("site_cache_dir")}
    return {name: str(folder) for name, folder in found.items() if folder}


def test_clones_of_one_user_share_a_cache_and_no_other_user_writes_what_dvc_unpickles(
    repository: Path,
) -> None:
    cache = repository.parent / ".cache"
    site = cache / "stemtune-dvc"
    expected = {"cache": str(cache / "stemtune"), "site": str(site)}
    assert make_folders(repository) == expected
    assert site.stat().st_mode & 0o777 == 0o700
    project.run(repository, "dvc", "status")
    assert list((site / "repo").iterdir())
    # As DVC makes it where it is gone.
    site.chmod(0o777)
    assert make_folders(repository) == expected
    assert site.stat().st_mode & 0o777 == 0o700


def test_a_cache_that_is_there_stays(repository: Path) -> None:
    (repository / ".dvc/cache").mkdir()
    assert "cache" not in make_folders(repository)


def test_a_cache_that_is_set_stays(repository: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o770)
    project.run(repository, "dvc", "config", "--local", "cache.dir", str(tmp_path / "mine"))
    project.run(repository, "dvc", "config", "--local", "core.site_cache_dir", str(shared))
    assert make_folders(repository) == {"cache": str(tmp_path / "mine"), "site": str(shared)}
    assert shared.stat().st_mode & 0o777 == 0o770


def test_ci_keeps_its_cache_in_the_clone_and_pickles_where_no_other_user_writes(
    repository: Path,
) -> None:
    # It has no `ci` to run, which comes after the folders are chosen.
    make_target(repository, "ci")
    assert (repository / ".dvc/cache").is_dir()
    assert folders(repository) == {"site": str(repository.parent / ".cache/stemtune-dvc")}


def test_a_home_that_cannot_be_written_is_not_kept(repository: Path) -> None:
    done = make_target(repository, "cache", HOME="/proc/nohome")
    assert done.returncode == 0
    assert "make: /proc/nohome/.cache/stemtune cannot be written" in done.stderr
    assert folders(repository) == {}
    # DVC would fail while it writes its configuration, and leave half of it.
    done = make_target(repository, "cache", HOME=str(repository.parent / "josé"))
    assert done.returncode == 0
    assert "josé/.cache/stemtune in its configuration" in done.stderr
    assert folders(repository) == {}
    # As an earlier version kept it.
    project.run(repository, "dvc", "config", "--local", "cache.dir", "/proc/nohome/kept")
    done = make_target(repository, "cache")
    assert done.returncode == 2
    assert f"{repository}/.dvc/config.local names as cache.dir" in done.stderr


def test_of_another_users_project_git_says_what_helps(repository: Path) -> None:
    done = make_target(repository, "repository", **OTHERS_PROJECT)
    assert done.returncode == 2
    assert f"git config --global --add safe.directory {repository}" in done.stderr
    assert "git init" not in done.stderr


@pytest.mark.slow
def test_what_a_shell_sets_for_pip_uv_and_python_does_not_reach_the_environment(
    tmp_path: Path,
) -> None:
    root = tmp_path / "a clone"
    root.mkdir()
    for name in ("Makefile", "pyproject.toml", "README.md", "requirements-setup.lock"):
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "stemtune", root / "stemtune")
    # uv alone, which is quick to install.
    shutil.copy(ROOT / "requirements-setup.lock", root / "requirements.lock")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "pip.py").write_text("raise SystemExit('not this one')")
    foreign = {
        "PIP_USER": "1",
        "PIP_TARGET": str(elsewhere / "target"),
        "PYTHONHOME": str(elsewhere),
        "PYTHONPATH": str(elsewhere),
        "UV_SYSTEM_PYTHON": "1",
        "UV_NO_BUILD": "1",
    }
    command = ["make", ".venv/ready"]
    environment = project.inherited() | foreign
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (root / ".setup/bin/uv").exists()
    assert (root / ".venv/bin/stemtune").exists()
    assert [path.name for path in elsewhere.iterdir()] == ["pip.py"]


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


def test_what_make_is_given_is_no_command(told: Path) -> None:
    value = "main;touch x $(shell touch x) $$(touch x) `touch x` a'; touch x; ' \" b\nx"
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


def test_installing_says_how_large_it_is_and_nothing_else(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.lock", "requirements-setup.lock"):
        (tmp_path / name).touch()
    # It stands in for Python, which makes an environment with a uv that installs nothing.
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/sh\nmkdir -p .setup/bin .venv\ncp /bin/true .setup/bin/python\n"
        "cp /bin/true .setup/bin/uv\n"
    )
    python.chmod(0o755)
    command = ["make", ".venv/ready", f"PYTHON={python}"]
    done = subprocess.run(
        command, cwd=tmp_path, env=project.inherited(), capture_output=True, text=True, check=True
    )
    assert done.stdout == (
        "make: installs the environment once, in some minutes: about 950 MB to download, "
        "3.5 GB on disk\n"
    )
    assert done.stderr == ""
