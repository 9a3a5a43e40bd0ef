"""Keeps the record of a stage that runs in the outbox, as it stands, for the publisher to show.

Nothing here costs a result: an error is printed once, and the stage continues.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stemtune.core import errors
from stemtune.core.records import Record
from stemtune.tracking import service
from stemtune.tracking.outbox import Outbox

LOOK_SECONDS, RENEW_SECONDS = 0.5, 30


class Follower:
    """Follows one stage."""

    def __init__(self, record: Record) -> None:
        """Starts the publisher, if there is none, and a thread that keeps the record.

        Args:
            record: Of the stage; it keeps growing.
        """
        self._record, self._kept = record, ""
        self._outbox: Outbox | None = None
        self._is_told = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follow", daemon=True)
        with self._tolerant():
            outbox = Outbox.current(f"{record.name} by hand")
            outbox.begin(record)
            outbox.renew()
            self._outbox = outbox
            service.start()
        self._thread.start()

    def end(self) -> None:
        """Keeps the final record and its artifacts."""
        self._over.set()
        self._thread.join()
        with self._tolerant():
            self._keep()
        if self._outbox:
            with self._tolerant():
                paths = [Path(file) for file in self._record.artifacts]
                self._outbox.attach(self._record.name, paths)

    def _follow(self) -> None:
        renewed = time.monotonic()
        while not self._over.wait(LOOK_SECONDS):
            with self._tolerant():
                self._keep()
                if self._outbox and time.monotonic() > renewed + RENEW_SECONDS:
                    self._outbox.renew()
                    renewed = time.monotonic()

    def _keep(self) -> None:
        now = self._record.model_dump_json()
        if self._outbox and now != self._kept:
            self._outbox.keep(self._record)
            self._kept = now

    @contextmanager
    def _tolerant(self) -> Iterator[None]:
        """Turns any error in the block into a warning."""
        try:
            yield
        except Exception as error:
            if not self._is_told:
                self._is_told = True
                told = f"{self._record.name} is not followed in MLflow: {errors.first_line(error)}"
                service.say(f"WARNING: {told}")
