"""Runs git and DVC, and reads what they answer."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from dvc.repo import Repo

from stemtune.core import files, printable
from stemtune.core.errors import InputError
from stemtune.core.git import git
from stemtune.core.paths import LOCK

# What git has of the results: which outputs belong to the sources, and the numbers.
COMMITTED = ("dvc.lock", "metrics")


def dvc(*arguments: str) -> tuple[int, list[str]]:
    """Runs DVC, shows what it prints, and returns its exit status and those lines."""
    command = [sys.executable, "-m", "dvc", *arguments]
    print(printable.message(f"ci: dvc {' '.join(arguments)}"), flush=True)
    lines = []
    with subprocess.Popen(  # noqa: S603
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            lines.append(printable.message(line.rstrip()))
            print(lines[-1], flush=True)
    return process.returncode, lines


def require_dvc(*arguments: str) -> None:
    """Runs DVC and shows what it prints.

    Raises:
        InputError: It failed.
    """
    status, lines = dvc(*arguments)
    if status:
        said = "\n".join(lines[-5:])
        raise InputError(f"`dvc {' '.join(arguments)}` ended with {status}:\n{said}")


def status() -> dict[str, list[Any]]:
    """Returns what `dvc status` finds changed, by stage."""
    found: dict[str, list[Any]] = json.loads(
        _output(sys.executable, "-m", "dvc", "status", "--json")
    )
    return found


def stages() -> list[str]:
    """Returns the names of the pipeline's stages, in the order of dvc.yaml."""
    names = _output(sys.executable, "-m", "dvc", "stage", "list", "--name-only").split()
    return [name for name in names if not name.endswith(".dvc")]


def settings() -> dict[str, Any]:
    """Returns DVC's settings, of the repository and of this checkout."""
    with Repo() as repo:
        return dict(repo.config)


def set_remote(name: str, address: str) -> None:
    """Names a remote in the settings of this checkout alone.

    Not by `dvc remote add`, whose command line others on this machine can read: an address may hold
    a password.
    """
    with Repo() as repo, repo.config.edit("local") as settings:
        settings["remote"][name] = {"url": address}


def lock(revision: str | None = None) -> dict[str, Any]:
    """Returns the stages of dvc.lock, here or in a revision; none if it is not there."""
    if revision:
        text = committed(revision, str(LOCK))
    else:
        text = LOCK.read_text(encoding="utf-8") if LOCK.exists() else None
    name = f"{revision}:{LOCK}" if revision else str(LOCK)
    content: dict[str, Any] = files.parse_yaml(text or "", name) or {}
    stages: dict[str, Any] = content.get("stages", {})
    return stages


def committed(revision: str, path: str) -> str | None:
    """Returns a file's text in a revision; None if it is not there, as without git."""
    if not _is_in_git():
        return None
    done = _run("git", "show", f"{revision}:./{path}")
    return None if done.returncode else done.stdout


def commit_of(revision: str) -> str:
    """Returns the commit that a revision names.

    Raises:
        InputError: git knows none, or the project is in no git repository.
    """
    if not _is_in_git():
        raise InputError(
            "this folder is not a git repository, where there would be a revision to compare with; "
            'run `git init`, or compare with none: --base ""'
        )
    # It would be an option of git's.
    is_option = revision.startswith("-")
    done = _run("git", "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if is_option or done.returncode:
        raise InputError(
            f"git knows no revision {revision!r}, with which this one is to be compared; name "
            "another as --base, or fetch it (in CI, check out the whole history)"
        )
    return done.stdout.strip()


def patch_of_results(path: Path) -> bool:
    """Writes the change of dvc.lock and metrics since HEAD as a patch; returns if there is any."""
    if not _is_in_git():
        return False
    # A lock that git does not know yet belongs into the patch; the index stays as it is.
    index = Path(_output("git", "rev-parse", "--git-path", "index").strip())
    aside = index.with_name("index.ci")
    environment = {"GIT_INDEX_FILE": str(aside.resolve())}
    try:
        if index.exists():
            aside.write_bytes(index.read_bytes())
        there = [name for name in COMMITTED if Path(name).exists()]
        _run("git", "add", "--intent-to-add", "--", *there, environment=environment)
        text = _run("git", "diff", "HEAD", "--", *there, environment=environment).stdout
    finally:
        aside.unlink(missing_ok=True)
    path.write_text(text, encoding="utf-8", newline="")
    return bool(text)


def _is_in_git() -> bool:
    return bool(git("rev-parse", "--git-dir"))


def _output(*command: str) -> str:
    done = _run(*command)
    if done.returncode:
        raise InputError(f"`{' '.join(command)}` ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def _run(
    *command: str, environment: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603
        command,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        env=os.environ | (environment or {}),
    )
