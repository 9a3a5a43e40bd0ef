"""What MLflow's pages show where `make ui` says that the runs are."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.support import servers
from tests.support.browser import chromium
from tests.support.project import ROOT

pytestmark = pytest.mark.browser
BUSY = "while True: pass"


@contextmanager
def busy_cores() -> Iterator[None]:
    """Keeps every core at work, as a running stage does."""
    working = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in working:
            process.kill()
            process.wait()


def test_the_runs_are_where_they_are_said_to_be_on_busy_cores_too(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(empty_store, tmp_path)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    client.create_experiment("another")
    client.create_run(client.create_experiment("stemtune"), run_name="whole pipeline")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with busy_cores(), servers.mlflow_ui(tmp_path) as server, chromium() as browser:
        port = server.address.rpartition(":")[2]
        command = [sys.executable, "-m", "stemtune.tracking.store", port]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        browser.get(done.stdout.split()[-1])
        rows = WebDriverWait(browser, 120).until(
            lambda _: browser.find_elements(By.CSS_SELECTOR, ".ag-row")
        )
        assert "whole pipeline" in rows[0].text
        # As each worker is killed that does not answer within 5 s.
        assert "died" not in server.log.read_text()
