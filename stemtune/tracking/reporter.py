"""The process that shows the stages of a pipeline run in MLflow while they run.

There is one a pipeline run. The first stage starts it, and gives it the lock that says so. It reads
what stages leave in the outbox, and notices by their processes that they ended, however they did.
It ends with the pipeline run, or when track kills it, which publishes the rest.

Run: python -m stemtune.tracking.reporter <folder of the outbox>, by `stage.run` alone
"""

import math
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from stemtune.core import errors, printable
from stemtune.core.records import Record
from stemtune.core.stage_outbox import Begun
from stemtune.tracking import pipeline
from stemtune.tracking.outbox import Outbox

if TYPE_CHECKING:
    from stemtune.tracking.live import Live

LOOK_SECONDS = 0.5
RETRY_SECONDS = 15
# After the pipeline run's end; then the next track does the rest.
LINGER_SECONDS = 60
SYSTEM_SECONDS = 5


def main(folder: Path) -> None:
    """Follows a pipeline run, of an outbox, to its end."""
    outbox = Outbox(folder)
    outbox.report()
    reporter = Reporter(outbox)
    while outbox.pipeline().alive():
        reporter.look()
        time.sleep(LOOK_SECONDS)
    signal.alarm(LINGER_SECONDS)
    wait_for_stages(outbox)
    while not reporter.look():
        time.sleep(LOOK_SECONDS)


class Reporter:
    """Shows the stages of one pipeline run."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._stages: dict[Begun, _Stage] = {}
        self._not_before = 0.0
        self._live: Live | None = None

    def look(self) -> bool:
        """Shows what is new, unless MLflow could not be reached just now.

        Returns:
            Whether MLflow shows all that there is.
        """
        if time.monotonic() < self._not_before:
            return False
        try:
            # Those that go on come last: what is written last says how the pipeline run stands.
            for begun in sorted(self._outbox.begun(), key=lambda stage: stage.find() is not None):
                self._show(begun, self._stages.setdefault(begun, _Stage()))
        except Exception as error:
            # Whatever it is, the stages go on, and their records tell MLflow later.
            told = printable.message(f"not shown in MLflow now: {error}")
            print(told, file=sys.stderr, flush=True)
            self._not_before = time.monotonic() + RETRY_SECONDS
            return False
        return True

    def _show(self, begun: Begun, stage: "_Stage") -> None:
        state = self._outbox.state(begun)
        if state == stage.state:
            return
        record = self._outbox.record(begun)
        if record and record != stage.shown:
            live = self._connected()
            if record.status != "running":
                stage.stop_measuring()
                live.end_stage(record)
            elif stage.shown:
                live.show(record)
            else:
                stage.measure(live.begin_stage(record))
            stage.shown = record
        if record and record.status == "finished" and not stage.is_named:
            # Known as soon as DVC has noted the stage's end.
            stage_key = pipeline.key_of(record, begun.folder)
            if stage_key:
                self._connected().name_stage(record, stage_key)
            stage.is_named = bool(stage_key)
        stage.state = state

    def _connected(self) -> "Live":
        if self._live is None:
            # Importing MLflow takes seconds, in which a stage might end.
            from stemtune.tracking.client import Client
            from stemtune.tracking.live import Live

            self._live = Live(Client(math.inf), self._outbox.pipeline())
        return self._live


@dataclass
class _Stage:
    """What is shown of a stage."""

    state: tuple[object, ...] = ()
    shown: Record | None = None
    is_named: bool = False
    monitor: Any = None

    def measure(self, run: str) -> None:
        """Has MLflow measure the load of the machine until the stage ends."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        self.monitor = SystemMetricsMonitor(run, sampling_interval=SYSTEM_SECONDS)
        self.monitor.start()

    def stop_measuring(self) -> None:
        if self.monitor:
            self.monitor.finish()
            self.monitor = None


def wait_for_stages(outbox: Outbox) -> None:
    """Waits for stages whose DVC was killed: they end by themselves, and their records say why."""
    going_on = [process for begun in outbox.begun() if (process := begun.find())]
    psutil.wait_procs(going_on, LINGER_SECONDS)


if __name__ == "__main__":
    errors.run("reporter", lambda: main(Path(sys.argv[1])))
