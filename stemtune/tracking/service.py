"""Starts the publisher, ends it, and waits until it has shown what is pending."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil
from pydantic import BaseModel

from stemtune.core import dvc, files, printable, typed_json
from stemtune.core.errors import InputError
from stemtune.core.paths import TRACKING
from stemtune.tracking import outbox, store
from stemtune.tracking.outbox import Outbox, Unreadable
from stemtune.tracking.process import Process

LOCK_FILE, NOTED, LOG = "lock", "publisher.json", "publisher.log"
# Names of variables that say where MLflow is, and by which account.
CLOUDS, PROXIES = ("AWS_", "AZURE_", "GOOGLE_"), ("HTTP_", "HTTPS_", "ALL_", "NO_")
WHERE = (
    *("MLFLOW_", "PG", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_", *CLOUDS),
    *(f"{kind}PROXY" for kind in PROXIES),
)
# Of one run.
NOT_WHERE = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_")
GONE = f"the publisher ended, and {TRACKING / LOG} says why"
LOOK_SECONDS, RESTART_SECONDS, PATIENCE_SECONDS = 0.1, 5, 15


class Noted(BaseModel):
    """What a publisher notes of itself: its process, and what it was started with."""

    process: Process
    started_with: str
    place: str


def start() -> "subprocess.Popen[bytes] | None":
    """Starts the publisher, unless one is at work with the same addresses, accounts and code.

    Returns:
        Its process; None if there was one.

    Raises:
        OSError: `.tracking` cannot be written.
    """
    root = outbox.root()
    root.mkdir(exist_ok=True)
    noted = _noted(root)
    if noted and noted.process.find():
        if noted.started_with == _started_with():
            return None
        # It would go on with another address. What it was doing is in the outbox.
        end(root)
    # If one of another machine has the lock, this one leaves.
    with (root / LOG).open("a") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "stemtune.tracking.publisher"],
            # Of an experiment, DVC deletes the folder of the stage, with the code.
            cwd=dvc.project(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C is for the stage.
            start_new_session=True,
        )


def end(root: Path) -> None:
    """Kills the publisher: whatever it was doing, another one does it again.

    Args:
        root: The folder of the outboxes.
    """
    noted = _noted(root)
    if noted and (process := noted.process.find()):
        with suppress(psutil.NoSuchProcess):
            process.kill()
            with suppress(psutil.TimeoutExpired):
                process.wait(PATIENCE_SECONDS)


def note_publisher() -> None:
    """Notes that this process is the publisher."""
    root, process = outbox.root(), Process.of(psutil.Process())
    noted = Noted(process=process, started_with=_started_with(), place=str(root.resolve()))
    files.write_json(root / NOTED, noted.model_dump())


def wait(waiting: Sequence[Outbox], seconds: float) -> list[tuple[str, str]]:
    """Waits until MLflow shows pipeline runs that are over, and says which it shows.

    Args:
        waiting: Their outboxes.
        seconds: How long to wait in all; the publisher goes on behind.

    Returns:
        Name and reason of each one that is not shown.
    """
    since, until, restart = time.time(), time.monotonic() + seconds, 0.0
    # Several may have one name, such as that of a commit.
    names, left = {each.folder: _name(each) for each in waiting}, list(waiting)
    reasons: dict[Path, str] = {}
    started = None
    while len(reasons) < len(left) and time.monotonic() < until:
        if time.monotonic() > restart:
            # Again, if it was killed.
            started = start() or started
            restart = time.monotonic() + RESTART_SECONDS
        time.sleep(LOOK_SECONDS)
        left = [each for each in left if each.folder.exists()]
        reasons = {each.folder: told for each in left if (told := each.problem(since))}
    for each in waiting:
        if (shown := each.shown()) and shown.parent:
            said = "".join(f"\n{note}" for note in shown.notes)
            say(f"published {names[each.folder]} in MLflow, parent run {shown.parent}{said}")
    noted = _noted(outbox.root())
    is_noted = noted and (not noted.process.is_here or noted.process.find())
    # One that starts has not noted itself yet.
    is_alive = is_noted or (started and started.poll() is None)
    late = f"not within {seconds:g} s; {'the publisher goes on' if is_alive else GONE}"
    return [(names[each.folder], reasons.get(each.folder, late)) for each in left]


def warn(reasons: Sequence[tuple[str, str]]) -> None:
    """Says which pipeline runs MLflow does not show, and why."""
    for name, reason in reasons:
        say(
            f"WARNING: {name} is not, or not all, in MLflow ({store.address()}): {reason}\n"
            "All results are kept; the next `dvc repro`, or `make publish`, publishes them"
        )


def say(text: str) -> None:
    """Prints what tracking has to say, without passwords."""
    print(printable.message(f"track: {text}"), flush=True)


def _name(each: Outbox) -> str:
    try:
        return each.run().name
    except (Unreadable, FileNotFoundError):
        return each.folder.name


def _noted(root: Path) -> Noted | None:
    try:
        noted = typed_json.read(root / NOTED, Noted)
    except (FileNotFoundError, InputError):
        return None
    # In a copy of a project it names the publisher of the other.
    return noted if noted.place == str(root.resolve()) else None


def _started_with() -> str:
    """Returns a name for what a publisher started now would work with."""
    named = sorted(
        (name, value)
        for name, value in os.environ.items()
        if name.upper().startswith(WHERE) and not name.startswith(NOT_WHERE)
    )
    # The project's: it runs that, and DVC's copy of it has other times.
    code = (dvc.project() / "stemtune/tracking").glob("*.py")
    return files.key(named, [path.stat().st_mtime_ns for path in sorted(code)])
