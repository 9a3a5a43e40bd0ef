"""Runs a stage: follows it in MLflow, and keeps its record for when it is cached.

Stages themselves know nothing of this, so an edit of it reruns none.

Run: python -m stemtune.run STAGE, such as tune_lr or add_stem@as_published (by dvc.yaml)
"""

import importlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from stemtune.core import (
    all_params,
    dvc,
    energy,
    environment,
    errors,
    files,
    leftovers,
    printable,
    records,
    terminal,
)
from stemtune.core.errors import InputError
from stemtune.core.records import Record
from stemtune.tracking.following import Follower
from stemtune.tracking.process import Process

# It publishes the records of the others.
TRACK = "track"
STAGES = Path("stages")
# Between two looks, seconds: sooner than another DVC is ready to run the stage again.
LOOK_SECONDS = 0.25
ORPHANED = "`dvc`, which ran the stage, was killed, so the stage ended; `dvc repro` runs it again"
ALONE = (
    "there is no `dvc` above this stage: it was killed, or called from Python by a program that "
    "ended; `dvc repro` runs the stage again"
)


def main() -> None:
    """Runs the stage that the command line names.

    Raises:
        SystemExit: There is no such stage.
    """
    known = sorted(path.stem for path in STAGES.glob("[!_]*.py"))
    name = sys.argv[1] if len(sys.argv) == 2 else ""
    stage, _, item = name.partition("@")
    if stage not in known:
        raise SystemExit(f"usage: python -m stemtune.run STAGE, one of {', '.join(known)}")
    # A stage takes its record, and the item of `foreach` if there is one.
    given = [item] if item else []

    def work(*record: Record) -> Sequence[str]:
        return importlib.import_module(f"stages.{stage}").main(*record, *given)

    def track() -> None:
        work()

    errors.run(name, track if name == TRACK else lambda: run(name, work))


def run(name: str, work: Callable[[Record], Sequence[str] | None]) -> None:
    """Runs a stage, followed in MLflow unless that is turned off, its failure too.

    It ends when the DVC that started it is killed: nobody waits for its outputs any more, and they
    would be mixed with those of the next run.

    Args:
        name: As in dvc.yaml (`tune_lr`, `add_stem@as_published`).
        work: The stage, which fills in its record; returns its results in lines, for the terminal.
    """
    # First: it may be killed at any time from here on.
    this = psutil.Process()
    owner = Process.of(dvc.owner(this))
    if dvc.is_orphan():
        raise InputError(ALONE)
    record, settings = Record.start(name), None
    # Settings that are not accepted are what the stage fails of, which MLflow shows.
    with suppress(InputError):
        settings = all_params.load()
    follower = Follower(record) if not settings or settings.track.enabled else None
    if owner != Process.of(this):
        _end_with(owner, record, follower)
    try:
        with terminal.showing(name):
            lines = _record(record, work, settings)
        print(terminal.told(lines, record.notes, record.seconds), flush=True)
    except BaseException as error:
        told = "".join(traceback.format_exception(error))
        if isinstance(error, InputError):
            told = str(error)
        elif errors.is_interrupt(error):
            told = "interrupted"
        for note in record.notes:
            print(terminal.hint(note, "  "), flush=True)
        record.fail(printable.message(told), time.time())
        raise
    finally:
        if follower:
            follower.end()


def _record(
    record: Record,
    work: Callable[[Record], Sequence[str] | None],
    settings: all_params.AllParams | None,
) -> Sequence[str]:
    """Has the stage fill in its record, keeps that among its outputs; returns what it prints."""
    settings = settings or all_params.load()
    leftovers.remove(settings.add_stem.variants, record.name)
    record.environment = environment.describe()
    with energy.measured(record):
        lines = work(record) or ()
    if record.status == "running":
        record.finish()
    files.write_json(records.path_of(record.name), record.model_dump())
    return lines


def _end_with(owner: Process, record: Record, follower: Follower | None) -> None:
    """Has this process end once the DVC that started it does."""

    def watch() -> None:
        while owner.find():
            time.sleep(LOOK_SECONDS)
        try:
            print(f"{record.name}: {ORPHANED}", file=sys.stderr, flush=True)
            record.fail(ORPHANED, time.time())
            if follower:
                follower.end()
        finally:
            # Whatever the main thread is doing; what is half-written has no name yet.
            os._exit(1)

    threading.Thread(target=watch, name="end with dvc", daemon=True).start()


if __name__ == "__main__":
    main()
