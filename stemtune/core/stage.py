"""Running a stage so that MLflow can follow it, and never has to be waited for.

A stage keeps what it does in its outbox. A process of its own, the reporter, reads it there and
tells MLflow, so that a server that hangs hangs the reporter alone. The first stage of a pipeline
run starts the reporter; it follows the later ones too, and notices by their process that they end.
"""

import fcntl
import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from stemtune.core import errors, leftovers, params, pipeline_run, printable, processes, records
from stemtune.core.errors import InputError
from stemtune.core.records import Record
from stemtune.core.stage_outbox import StageOutbox

# Between two looks, seconds: sooner than another DVC is ready to run the stage again.
LOOK_SECONDS = 0.25
ORPHANED = "`dvc`, which ran the stage, was killed, so the stage ended; `dvc repro` runs it again"


def run(name: str, main: Callable[[], None]) -> None:
    """Runs a stage, its record followed by the reporter, its failure too.

    It ends when the DVC that started it is killed: nobody waits for its outputs any more, and they
    would fall among those of the next run.

    Args:
        name: As in dvc.yaml (`tune_lr`, `add_stem@as_published`).
        main: The stage.
    """

    def watched() -> None:
        is_tracked = True
        # With settings that are not accepted the stage fails, which MLflow shows.
        with suppress(InputError):
            settings = params.load()
            is_tracked = settings.track.enabled
            leftovers.remove(settings.add_stem.variants, name)
        if is_tracked:
            _follow(name, main)
        else:
            _end_with_owner(name)
            main()

    errors.run(name, watched)


def _follow(name: str, main: Callable[[], None]) -> None:
    outbox = StageOutbox.current(f"{name} by hand")
    outbox.begin(name)
    _start_reporter(name, outbox)
    _end_with_owner(name, lambda: _fail(name, outbox.stages, InputError(ORPHANED)))
    with records.shown_in(outbox.stages):
        try:
            main()
        except BaseException as error:
            _fail(name, outbox.stages, error)
            raise
        finally:
            _attach(name, outbox)


def _end_with_owner(name: str, note: Callable[[], None] = lambda: None) -> None:
    """Has this process end once the pipeline run's does, unless it is that itself.

    Args:
        name: Of the stage.
        note: Notes why the stage ended.
    """
    owner = pipeline_run.owner(psutil.Process())
    if owner.pid == os.getpid():
        return
    started = processes.started(owner)

    def watch() -> None:
        while processes.find(owner.pid, started):
            time.sleep(LOOK_SECONDS)
        try:
            note()
            print(f"{name}: {ORPHANED}", file=sys.stderr, flush=True)
        finally:
            # Whatever the main thread is in the middle of; what is half-written has no name yet.
            os._exit(1)

    threading.Thread(target=watch, name="end with dvc", daemon=True).start()


def _start_reporter(name: str, outbox: StageOutbox) -> None:
    """Starts the reporter of a pipeline run, if it has none that is at work."""
    with outbox.lock.open("a") as lock, outbox.log.open("a") as log:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        except OSError as error:
            print(
                f"{name}: WARNING: {outbox.lock} cannot be locked on this file system "
                f"({error.strerror}), so that MLflow shows nothing before track does",
                flush=True,
            )
            return
        subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "stemtune.tracking.reporter", str(outbox.folder.absolute())],
            # Of an experiment, DVC deletes the folder of the stage, with the code.
            cwd=pipeline_run.project(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C is for the stage.
            start_new_session=True,
            # It holds the lock before it runs, so that there is no moment without.
            pass_fds=[lock.fileno()],
        )


def _fail(name: str, shown: Path, error: BaseException) -> None:
    path = shown / f"{name}.json"
    record = records.read(path) if path.exists() else Record.start(name, {})
    is_told = isinstance(error, InputError)
    told = str(error) if is_told else "".join(traceback.format_exception(error))
    record.fail(printable.message(told), time.time())
    records.announce(record)


def _attach(name: str, outbox: StageOutbox) -> None:
    """Keeps the artifacts of a stage, which an experiment's copy takes with it."""
    path = outbox.stages / f"{name}.json"
    if path.exists():
        try:
            outbox.attach(name, [Path(file) for file in records.read(path).artifacts])
        except OSError as error:
            # What the stage was run for is there.
            warning = f"{name}: WARNING: not all artifacts are kept for MLflow: {error}"
            print(printable.message(warning), flush=True)
