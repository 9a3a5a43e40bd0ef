"""The process that shows a stage in MLflow while it runs, and its failure however it ends.

It reads the stage's record from where `records.announce` leaves it, and notices the stage's end by
the pipe between them. What it learns it keeps in the journal first; what MLflow cannot be told now
is told by the next track.

Run: python -m stemtune.reporter <stage>, by `stage.run` alone
"""

import math
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

from stemtune import errors, params, pipeline, records
from stemtune.journal import Journal
from stemtune.records import Record

if TYPE_CHECKING:
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    from stemtune.tracking import Publisher

LOOK_SECONDS = 0.5
RETRY_SECONDS = 15
# After the stage's end; then track does the rest.
LINGER_SECONDS = 60
SYSTEM_SECONDS = 5
LOST = (
    "the process ended without a word: it was killed, or ran out of memory\n"
    "what it printed last is in the terminal; `dvc repro` runs the stage again"
)


def main(stage: str) -> None:
    """Follows a stage to its end."""
    process = psutil.Process(os.getppid())
    run = pipeline.current(process, stage)
    # In one piece, since the stage closes its end at the first byte, or had no more patience.
    with suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), b"ready\n")
    sys.stdout = sys.stderr
    over = threading.Event()
    threading.Thread(target=_wait_for_end, args=(over,), daemon=True).start()
    try:
        enabled = params.load().track.enabled
    except errors.InputError:
        # The stage fails of it, which is to be seen in MLflow.
        enabled = True
    if not enabled:
        return
    journal = Journal.open(run)
    journal.followed_by(psutil.Process())
    reporter = Reporter(stage, run, journal)
    while not over.wait(LOOK_SECONDS):
        reporter.look()
    signal.alarm(LINGER_SECONDS)
    reporter.end()


class Reporter:
    """Shows one stage."""

    def __init__(self, stage: str, run: pipeline.Pipeline, journal: Journal) -> None:
        self._stage, self._run, self._journal = stage, run, journal
        self._snapshot = records.live_path(stage)
        self._seen, self._not_before = 0, 0.0
        self._publisher: Publisher | None = None
        self._monitor: SystemMetricsMonitor | None = None

    def look(self) -> None:
        """Shows what is new in the stage's record, unless MLflow could not be reached just now."""
        if time.monotonic() < self._not_before or not self._snapshot.exists():
            return
        changed = self._snapshot.stat().st_mtime_ns
        if changed == self._seen:
            return
        record = records.read(self._snapshot)
        try:
            if self._publisher is None:
                self._begin(record)
            else:
                self._publisher.show(record)
            self._seen = changed
        except Exception as error:
            # Whatever it is, the stage goes on, and the record tells MLflow later.
            self._postpone(error)

    def end(self) -> None:
        """Shows how the stage ended."""
        if self._snapshot.exists():
            record = records.read(self._snapshot)
        else:
            record = Record.start(self._stage, {})
        if record.status == "running":
            record.finish()
            record.status, record.error = "failed", LOST
        self._journal.keep(record)
        if self._monitor:
            self._monitor.finish()
        publisher = self._publisher or self._connect()
        publisher.end_stage(record)
        if record.status == "finished" and (stage_key := self._stage_key(record)):
            publisher.name_stage(record, stage_key)

    def _begin(self, record: Record) -> None:
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        publisher = self._connect()
        run = publisher.begin_stage(record)
        self._publisher = publisher
        self._monitor = SystemMetricsMonitor(run, sampling_interval=SYSTEM_SECONDS)
        self._monitor.start()

    def _connect(self) -> "Publisher":
        from stemtune import tracking

        return tracking.Publisher(self._run, math.inf)

    def _postpone(self, error: Exception) -> None:
        print(f"{self._stage}: not shown in MLflow now: {error}", file=sys.stderr, flush=True)
        self._not_before = time.monotonic() + RETRY_SECONDS

    def _stage_key(self, record: Record) -> str:
        """Returns the stage's key as soon as DVC has noted its end; "" if DVC does not."""
        while self._run.alive():
            if key := pipeline.key_of(record):
                return key
            time.sleep(LOOK_SECONDS)
        return pipeline.key_of(record)


def _wait_for_end(over: threading.Event) -> None:
    sys.stdin.read()
    over.set()


if __name__ == "__main__":
    main(sys.argv[1])
