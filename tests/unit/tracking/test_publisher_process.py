"""The publisher as a process: who starts it, who leaves it alone, and what it survives."""

import logging
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from stemtune.tracking import publisher, service
from tests.support import publishers
from tests.support.place import has_ended, wait_for
from tests.support.project import ROOT


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project without runs, whose publishers end with the test."""
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.chdir(root)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield root
    publishers.end(tmp_path)


def noted(project: Path) -> bool:
    return service._noted(project / ".tracking") is not None


def test_a_publisher_is_left_by_its_own_project_and_by_a_copy_of_that(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "--quiet"], check=True)
    # MLflow's own variable, in whatever way the publisher takes it.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "600")
    service.start()
    wait_for(lambda: noted(project))
    [first] = publishers.find(project.parent)
    service.start()
    assert publishers.find(project.parent) == [first]

    # DVC's, for an experiment; its files have times of their own.
    inside = project / ".dvc/tmp/exps/copy"
    (inside / "stemtune/tracking").mkdir(parents=True)
    (inside / "stemtune/tracking/publisher.py").touch()
    subprocess.run(["git", "init", "--quiet"], cwd=inside, check=True)
    monkeypatch.setenv("DVC_ROOT", str(project))
    monkeypatch.chdir(inside)
    service.start()
    assert publishers.find(project.parent) == [first]
    monkeypatch.delenv("DVC_ROOT")

    # Of the whole, with the note of who publishes.
    copy = project.parent / "copy"
    shutil.copytree(project, copy)
    monkeypatch.chdir(copy)
    service.start()
    wait_for(lambda: noted(copy))
    assert len(publishers.find(copy)) == 1
    service.end(Path(".tracking"))
    assert publishers.find(project.parent) == [first]


def test_a_publisher_leaves_a_project_that_was_moved(project: Path) -> None:
    service.start()
    wait_for(lambda: noted(project))
    [process] = publishers.find(project.parent)
    project.rename(project.parent / "moved")
    # Less than it waits for work.
    wait_for(lambda: has_ended(process), publisher.LINGER_SECONDS / 2)


def test_what_mlflow_logs_holds_no_password() -> None:
    given = ("mlflow", logging.WARNING, "", 0, "no answer of %s", ("http://alice:s3cret@host",))
    assert publisher._redacted(*given, None).getMessage() == "no answer of http://***@host"


def test_what_comes_while_a_publisher_leaves_is_still_shown(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    news, is_noted = iter([False, True, False, False]), []

    def look(_: publisher.Publisher) -> bool:
        is_noted.append(noted(project))
        return next(news)

    (project / ".tracking").mkdir()
    monkeypatch.setattr(logging, "setLogRecordFactory", lambda _: None)
    monkeypatch.setattr(publisher, "LINGER_SECONDS", 0)
    monkeypatch.setattr(publisher.Publisher, "look", look)
    publisher.main()
    # Without the note a stage starts another publisher.
    assert is_noted == [True, False, True, False]
