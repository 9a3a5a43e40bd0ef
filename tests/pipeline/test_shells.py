"""Stages under each shell that DVC may take from whoever calls it."""

import shutil
from pathlib import Path

import pytest
import yaml

from bench import project
from tests.support.project import ROOT

SHELLS = ("sh", "bash", "zsh", "tcsh", "fish")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A DVC repository with one stage, whose python says what it is given, in an odd place."""
    root = tmp_path / "a place"
    root.mkdir()
    of_chain = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    stage = {"cmd": "${python} stages.first", "always_changed": True}
    (root / "dvc.yaml").write_text(
        yaml.safe_dump({"vars": of_chain["vars"], "stages": {"first": stage}})
    )
    python = root / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "python: $*; $(dirname "$0"); $(command -v git)"\n')
    python.chmod(0o755)
    project.prepare(root)
    return root


@pytest.mark.shells
@pytest.mark.parametrize("shell", SHELLS)
def test_a_stage_runs_in_the_projects_environment_whatever_the_shell(
    repository: Path, shell: str
) -> None:
    found = shutil.which(shell)
    assert found, f"this test needs {shell}; to leave such tests out: pytest -m 'not shells'"
    git = shutil.which("git")
    environment = project.inherited() | {"SHELL": found}
    printed = project.run(repository, "dvc", "repro", variables=environment)
    assert f"python: -m stages.first; .venv/bin; {git}" in printed
