"""What git knows of the project."""

from pathlib import Path

import pytest

from bench import project
from stemtune.core.git import git
from tests.support.project import OTHERS_PROJECT


def test_of_another_users_project_no_commit_is_known_which_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project.run(tmp_path, "git", "init", "--quiet")
    monkeypatch.chdir(tmp_path)
    for name, value in OTHERS_PROJECT.items():
        monkeypatch.setenv(name, value)
    assert git("rev-parse", "HEAD") == ""
    assert git("status", "--porcelain", "-uno") == ""
    said = capsys.readouterr().err
    assert said.count("WARNING: MLflow shows no commit") == 1
    assert f"git config --global --add safe.directory {tmp_path}" in said
