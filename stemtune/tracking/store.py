"""Where runs are kept, and where MLflow's pages show them.

Run: python -m stemtune.tracking.store [PORT] (by `make ui`, before MLflow's pages)
"""

import json
import os
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from filelock import FileLock

from stemtune.core import dvc, errors, files, printable
from stemtune.tracking import pipeline_run

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

VARIABLE = "MLFLOW_TRACKING_URI"
# MLflow's own.
PORT = "5000"
SQLITE, FILE, DATABASE, ARTIFACTS = "sqlite:///", "file:", "mlflow.db", "mlruns"
START_SECONDS = 120


def main() -> None:
    """Makes the project's own store, and says where MLflow's pages show it once they do."""
    from stemtune.tracking import moved

    port, *announces = sys.argv[1:] or [PORT]
    if announces:
        _announce(port)
        return
    _prepare()
    if said := moved.follow():
        print(printable.message(said), flush=True)
    # MLflow prints much when it starts, so this comes after it.
    subprocess.Popen([sys.executable, "-m", __spec__.name, port, "announce"])  # noqa: S603


def address() -> str:
    """Returns where runs go: `MLFLOW_TRACKING_URI`, if not empty, or mlflow.db in the project.

    A relative path is the project's, in DVC's copy of it too.
    """
    named = os.environ.get(VARIABLE, "").strip() or f"{SQLITE}{DATABASE}"
    if named.startswith(SQLITE):
        return f"{SQLITE}{dvc.project() / named.removeprefix(SQLITE)}"
    if named.startswith((f"{FILE}//", "databricks", "uc")) or ":" in named.removeprefix(FILE):
        return named
    return str(dvc.project().absolute() / named.removeprefix(FILE))


def digest() -> str:
    """Returns a name for the address, the same for each account, by which it is known again."""
    # In DVC's copy of the project the path is a whole one, in the project it is not.
    return files.key(printable.message(str(database() or address())))


def database() -> Path | None:
    """Returns the whole path of the SQLite file that runs go to; None if it is a server."""
    named = address()
    if not named.startswith(SQLITE):
        return None
    # `mlflow run` quotes it.
    return Path(unquote(named.removeprefix(SQLITE).partition("?")[0])).absolute()


def connect() -> "MlflowClient":
    """Returns a client of the store, which is made if it is missing."""
    import mlflow
    from mlflow.tracking import MlflowClient

    _prepare()
    mlflow.set_tracking_uri(address())
    return MlflowClient()


def pages(port: str) -> str:
    """Returns the address of the runs in MLflow's pages on this machine.

    What it shows of an experiment unless told otherwise is for language models, without the runs.
    """
    place, name = "experiments", pipeline_run.experiment_name()
    asked = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get-by-name?experiment_name="
    # Without such an experiment the answer is an error.
    with suppress(OSError), urllib.request.urlopen(asked + quote(name)) as answer:  # noqa: S310
        place += f"/{json.load(answer)['experiment']['experiment_id']}"
    return f"http://127.0.0.1:{port}/#/{place}?workflowType=machine_learning"


def _prepare() -> None:
    """Makes the project's store.

    Of two processes that make a store's tables at once MLflow lets one fail, and if one is killed
    the store stays without tables for ever. Hence they are made aside, by one at a time.
    """
    path = database()
    if not path or path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # As long as it is not whole; `.gitignore` names it.
    part = path.with_name(f"{path.name}.part")
    lock = FileLock(f"{part}.lock", fallback_to_soft=False)
    try:
        lock.acquire()
    except OSError:
        # Nothing can be locked here: MLflow makes the store, as well as it can.
        return
    try:
        if not path.exists():
            from mlflow.tracking import MlflowClient

            part.unlink(missing_ok=True)
            MlflowClient(f"{SQLITE}{quote(str(part))}").search_experiments()
            part.replace(path)
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _announce(port: str) -> None:
    """Waits until MLflow's pages answer, and says where the runs are."""
    until = time.monotonic() + START_SECONDS
    health = f"http://127.0.0.1:{port}/health"
    while time.monotonic() < until:
        with suppress(OSError), urllib.request.urlopen(health, timeout=5):
            print(f"The runs are at {pages(port)}", flush=True)
            return
        time.sleep(0.3)


if __name__ == "__main__":
    errors.run("store", main)
