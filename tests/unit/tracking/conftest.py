"""Where stages and the publisher run."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from tests.support import publishers
from tests.support.place import Place
from tests.support.shown_runs import new_store


@pytest.fixture
def place(tmp_path: Path, empty_store: Path) -> Iterator[Place]:
    """A place whose stages and publishers end with the test."""
    shutil.copy(empty_store, tmp_path)
    made = Place(tmp_path)
    yield made
    for started in made.started:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()
    publishers.end(tmp_path)


@pytest.fixture
def inside(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A place in which this process is too."""
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place.store)
    return place


@pytest.fixture
def store(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MlflowClient]:
    """A store in a project without runs, to which this process publishes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    yield new_store(tmp_path, empty_store, monkeypatch)
    mlflow.set_tracking_uri("")
