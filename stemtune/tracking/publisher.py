"""The publisher: the one process of a project that talks to MLflow.

It holds `.tracking/lock`, goes through all outboxes again and again, and writes what is new. Any
stage starts it if there is none. It can be killed at any moment: what it was doing is in the
outbox. It ends when nothing has happened for a while.

Run: python -m stemtune.tracking.publisher, by `service` alone
"""

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from stemtune.core import errors, printable
from stemtune.tracking import moved, outbox, service, store, tree
from stemtune.tracking.outbox import Outbox, Shown, Unreadable

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

    from stemtune.tracking.runs import Runs

LOOK_SECONDS, RETRY_SECONDS = 0.2, 15
# How long it waits for work: to import MLflow takes as long as what there is to do.
LINGER_SECONDS = 60
# How long another one has to end, such as one that only looked.
LOCK_SECONDS = 3


class Incomplete(Exception):
    """Artifacts or models of a pipeline run could not be stored; the message names them."""


class Publisher:
    """Shows the pipeline runs of a project in MLflow."""

    def __init__(self) -> None:
        """Connects to nothing yet."""
        self._client: MlflowClient | None = None
        # By key of a pipeline run: its runs, what was shown last, and when to try again.
        self._runs: dict[str, Runs] = {}
        self._state: dict[str, tuple[object, ...]] = {}
        self._retry: dict[str, float] = {}
        self._notes: list[str] = []

    def look(self) -> bool:
        """Writes what is new of all pipeline runs.

        Returns:
            Whether anything goes on, or was written.
        """
        is_busy = False
        for each in outbox.pending():
            try:
                goes_on = each.goes_on()
                # While stages run it stays, whatever the server does.
                is_busy |= goes_on
                if goes_on and each.run().store not in ("", store.digest()):
                    # Its stages have a publisher for that address started again and again.
                    continue
                if time.monotonic() >= self._retry.get(each.folder.name, 0):
                    is_busy |= self._follow(each, goes_on)
            except FileNotFoundError:
                # It was moved or deleted at this moment.
                continue
            except Unreadable as error:
                outbox.put_aside(each, error)
            except Exception as error:
                # Whatever it is, the stages go on, and the outbox is there for another attempt.
                told = errors.first_line(error)
                with suppress(OSError):
                    print(f"{each.folder.name}: {told}", flush=True)
                each.trouble(told)
                self._runs.pop(each.folder.name, None)
                self._state.pop(each.folder.name, None)
                self._retry[each.folder.name] = time.monotonic() + RETRY_SECONDS
        return is_busy

    def _follow(self, each: Outbox, goes_on: bool) -> bool:
        """Shows a pipeline run if there is news of it; returns whether there was."""
        name, state = each.folder.name, each.state(goes_on)
        if self._state.get(name) == state:
            return False
        self.show(each)
        self._state[name] = state
        return True

    def show(self, each: Outbox) -> str:
        """Writes an outbox to MLflow, and closes it if the pipeline run is over.

        Returns:
            The parent's run id.

        Raises:
            Incomplete: Artifacts or models could not be stored; all else is written.
            mlflow.exceptions.MlflowException: The store refuses or cannot be reached.
        """
        # Importing MLflow takes seconds, which a stage that starts this is not to wait for.
        from stemtune.tracking import artifacts
        from stemtune.tracking.runs import Runs

        client, name = self._connected(), each.folder.name
        whole = tree.of(each)
        if name not in self._runs:
            self._runs[name] = Runs(client, each.run())
        runs, parent = self._runs[name], ""
        # Nothing to show is a DVC that has begun no stage yet, or never did.
        if whole.children:
            parent = runs.upsert(whole)
        if whole.status != "running":
            if parent and (missing := artifacts.store(client, runs, each)):
                raise Incomplete("; ".join(missing))
            each.close(Shown(parent=parent, notes=[*self._notes, *runs.notes]))
            self._notes.clear()
            del self._runs[name]
        return parent

    def _connected(self) -> "MlflowClient":
        if self._client is None:
            if said := moved.follow():
                self._notes.append(said)
            self._client = store.connect()
        return self._client


def main() -> None:
    """Shows pipeline runs until there are none for a while, if no other process does."""
    logging.setLogRecordFactory(_redacted)
    root = outbox.root().absolute()
    lock = FileLock(root / service.LOCK_FILE, fallback_to_soft=False)
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout:
        return
    except OSError as error:
        print(printable.message(f"{error}: shows runs without the lock"), flush=True)
    service.note_publisher()
    publisher, last = Publisher(), time.monotonic()
    # Without the folder the project is gone, or was moved, which a new one looks for.
    while root.exists():
        if publisher.look():
            last = time.monotonic()
        elif time.monotonic() > last + LINGER_SECONDS:
            # From here on a stage starts another one. What came just before is still this one's.
            (root / service.NOTED).unlink(missing_ok=True)
            if not publisher.look():
                return
            service.note_publisher()
            last = time.monotonic()
        time.sleep(LOOK_SECONDS)


def _redacted(*given: Any, **more: Any) -> logging.LogRecord:
    """Returns what MLflow has to say without passwords: it names addresses as they are."""
    record = logging.LogRecord(*given, **more)
    record.msg, record.args = printable.message(record.getMessage()), ()
    return record


if __name__ == "__main__":
    errors.run("publisher", main)
