"""Running a stage so that MLflow can follow it, and never has to be waited for.

A process of its own, the reporter, tells MLflow what the stage's record says, live; a server that
hangs hangs the reporter alone. It holds the other end of a pipe, so that it notices when the stage
ends, however it ends.
"""

import select
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stemtune import errors, records

# Of a machine that is busy; the reporter looks at nothing slow, nor at MLflow, before it is ready.
READY_SECONDS = 60


def run(name: str, main: Callable[[], None]) -> None:
    """Runs a stage, its record followed by the reporter, its failure too.

    Args:
        name: As in dvc.yaml (`tune_lr`, `add_stem@paper`).
        main: The stage.
    """

    def reported() -> None:
        with _reporter(name):
            try:
                main()
            except BaseException as error:
                _fail(name, error)
                raise

    errors.run(name, reported)


@contextmanager
def _reporter(name: str) -> Iterator[None]:
    snapshot = records.live_path(name)
    snapshot.parent.mkdir(parents=True, exist_ok=True)
    snapshot.unlink(missing_ok=True)
    with snapshot.with_suffix(".log").open("w") as log:
        reporter = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "stemtune.reporter", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            # Ctrl-C is for the stage; the reporter has yet to say that it came.
            start_new_session=True,
        )
    if reporter.stdin is None or reporter.stdout is None:
        raise AssertionError("subprocess gave no pipes")
    try:
        yield
    finally:
        # It looks up which `dvc repro` this stage belongs to, and cannot once the stage is gone.
        select.select([reporter.stdout], [], [], READY_SECONDS)
        reporter.stdin.close()
        reporter.stdout.close()
        # Not waited for, on purpose: Popen is not to warn of that.
        reporter.returncode = 0


def _fail(name: str, error: BaseException) -> None:
    snapshot = records.live_path(name)
    record = records.read(snapshot) if snapshot.exists() else records.Record.start(name, {})
    record.finish()
    for failed in (record, *(part for part in record.parts if part.status == "running")):
        failed.status = "failed"
    if isinstance(error, errors.InputError):
        record.error = str(error)
    else:
        record.error = "".join(traceback.format_exception(error))
    records.announce(record)
