"""A folder in which stages run in processes of their own, and the publisher beside them."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import psutil
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from stemtune.tracking import service
from stemtune.tracking.outbox import Outbox
from tests.support.project import ROOT

Seen = TypeVar("Seen")

# Runs `run.run` for a name: it says that it began, waits for a file if one is named, and ends.
STAGE = """
import sys, time
from pathlib import Path
from stemtune import run
from stemtune.core import errors
def work(record):
    Path("report.html").write_text("<p>report</p>")
    record.artifacts = ["report.html", *(["not yet made.csv"] if until == "never" else [])]
    with record.timed({"rate": 0.1}):
        while until and not Path(until).exists():
            time.sleep(0.02)
name, until = sys.argv[1:]
errors.run(name, lambda: run.run(name, work))
"""


class Place:
    """A folder with a store, in which a shell that is called `dvc` runs stages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = f"sqlite:///{folder}/mlflow.db"
        self.client = MlflowClient(self.store)
        self.environment = {"MLFLOW_TRACKING_URI": self.store}
        self.started: list[subprocess.Popen[str]] = []
        shutil.copy(ROOT / "params.yaml", folder)
        (folder / "stage.py").write_text(STAGE)
        # Without blanks, which the interpreter's path may have.
        self.stage = folder / "stage"
        self.stage.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{folder}/stage.py" "$@"\n')
        self.stage.chmod(0o755)

    def dvc(self, script: str, folder: Path | None = None) -> subprocess.Popen[str]:
        """Runs a script in which `$stage NAME FILE` is a stage."""
        where = folder or self.folder
        # No function, or the shell that runs it in the background were a DVC of its own.
        (where / "script").write_text(f"stage={self.stage}\n{script}")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "DVC_"))}
        done = subprocess.Popen(
            ["dvc", str(where / "script")],
            executable=shutil.which("sh"),
            cwd=where,
            env=inherited | {"PYTHONPATH": str(ROOT)} | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # A shell's background jobs, such as tests may be one of, ignore it.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
        self.started.append(done)
        return done

    def outboxes(self) -> list[Outbox]:
        found = (self.folder / ".tracking").glob("*/pipeline.json")
        return [Outbox(path.parent) for path in found]

    def publisher(self) -> psutil.Process:
        """Returns the publisher, once it has begun."""

        def look() -> psutil.Process | None:
            noted = service._noted(self.folder / ".tracking")
            return noted.process.find() if noted else None

        return wait_for(look)

    def runs(self) -> dict[str, Run]:
        experiment = self.client.get_experiment_by_name("stemtune")
        found = self.client.search_runs([experiment.experiment_id]) if experiment else []
        return {run.info.run_name.partition(" ")[0]: run for run in found}

    def states(self) -> dict[str, str]:
        return {name: run.info.status for name, run in self.runs().items()}

    def wait_until_shown(self) -> None:
        """Waits until nothing is pending."""
        wait_for(lambda: not self.outboxes())


def wait_for(look: Callable[[], Seen | None], seconds: float = 240) -> Seen:
    """Returns what a function returns as soon as it is something."""
    until = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return seen


def has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
