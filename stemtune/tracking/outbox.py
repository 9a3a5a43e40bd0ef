"""Pipeline runs that MLflow does not show whole yet, kept on disk until it does.

A folder per pipeline run, `.tracking/<key>/`, with the records of the stages that ran, copies of
the files to attach, and, once all stages are done, what came of it. Each of them can be published
from its folder alone, again and again, at any later time.
"""

import fcntl
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import psutil
from pydantic import BaseModel, ConfigDict

from stemtune.core import files, litter, pipeline_run, processes, records
from stemtune.core.paths import LOCK, TRACKING
from stemtune.core.pipeline_run import Pipeline
from stemtune.core.records import Record
from stemtune.core.stage_outbox import Begun, StageOutbox
from stemtune.tracking.pipeline import Lock

LAST, LOCK_FILE, CLOSED = "last.json", "lock", "closed"
LOST = (
    "the process ended without a word: it was killed, or ran out of memory\n"
    "what it printed last is in the terminal; `dvc repro` runs the stage again"
)
# With a reporter that cannot be killed, such as another machine's.
PATIENCE_SECONDS = 15


class Shown(BaseModel):
    """What a run shows beside its record.

    Attributes:
        title: Name of the run; "": the record's.
        params: Further settings.
        metrics: Further results.
        description: Markdown.
    """

    model_config = ConfigDict(frozen=True)

    title: str = ""
    params: dict[str, Any] = {}
    metrics: dict[str, float] = {}
    description: str = ""


class Registered(BaseModel):
    """A model for the registry.

    Attributes:
        name: As evaluate's record has it.
        alias: `baseline` or `stem`.
        folder: Where it lies.
        digest: DVC's hash of the folder.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    alias: str
    folder: str
    digest: str


class Outcome(BaseModel):
    """What a pipeline run came to, once all its stages are done.

    Attributes:
        lock: What dvc.lock held.
        environment: Threads, processor and versions that it had.
        size: Side of the frames, px.
        counts: Of classes, clips and frames.
        metrics: For the parent run.
        tags: For the parent run.
        description: For the parent run, Markdown.
        models: What their runs show, by name in evaluate's record.
        registered: For the registry.
        exports: By model, the files that were made of it for devices, and the MD5 of each.
    """

    model_config = ConfigDict(frozen=True)

    lock: Lock
    environment: dict[str, str]
    size: int
    counts: dict[str, int]
    metrics: dict[str, float]
    tags: dict[str, str] = {}
    description: str
    models: dict[str, Shown]
    registered: list[Registered]
    exports: dict[str, dict[str, str]] = {}

    def content(self) -> str:
        """Returns a name for it: equal results, equal name."""
        return files.key(json.dumps(self.model_dump(), sort_keys=True))


class Outbox(StageOutbox):
    """The folder of one pipeline run, as it is published."""

    def begun(self) -> list[Begun]:
        """Returns the stages that began."""
        # No file with a dot in front: a stage that was killed left it half-written.
        return [
            Begun.model_validate(files.read_json(path))
            for path in litter.visible(self.folder / "begun", "[!.]*.json")
        ]

    def goes_on(self) -> bool:
        """Returns whether a stage of it is at work, or may yet begin."""
        return self.pipeline().alive() or any(begun.find() for begun in self.begun())

    def record(self, begun: Begun) -> Record | None:
        """Returns the record of a stage that began, as it stands; None where it has none yet."""
        # Looked at first, as a process may end with what it writes last.
        has_ended, path = begun.find() is None, self.stages / f"{begun.stage}.json"
        record, at = None, begun.at
        if path.exists():
            record, at = records.read(path), path.stat().st_mtime
        if has_ended and (record is None or record.status == "running"):
            record = record or Record(name=begun.stage, started=begun.at)
            record.fail(LOST, at)
        return record

    def state(self, begun: Begun) -> tuple[object, ...]:
        """Returns what changes when there is news of a stage, quicker than to read it."""
        noted = (self.stages / f"{begun.stage}.json", begun.folder / LOCK)
        return begun.find() is None, *(_modified(path) for path in noted)

    def records(self) -> list[Record]:
        """Returns the records of the stages that began or are cached, in the order of their starts.

        A stage that was killed is one that failed.
        """
        begun = self.begun()
        found = [record for stage in begun if (record := self.record(stage))]
        names = {stage.stage for stage in begun}
        found += [
            records.read(path)
            for path in litter.visible(self.stages, "[!.]*.json")
            if path.stem not in names
        ]
        return sorted(found, key=lambda record: record.started)

    def report(self) -> None:
        """Notes that this process is the reporter, whose lock it was given."""
        process = psutil.Process()
        # In place: another file would not be locked.
        self.lock.write_text(json.dumps([process.pid, processes.started(process)]))

    def reporter(self) -> psutil.Process | None:
        """Returns the reporter; None where none has begun, or it has ended."""
        noted = self.lock.read_text() if self.lock.exists() else ""
        return processes.find(*json.loads(noted)) if noted else None

    def end_reporter(self) -> None:
        """Kills the reporter: whatever it was in the middle of, it can be published from here."""
        until = time.monotonic() + PATIENCE_SECONDS
        with self.lock.open("a") as lock:
            while not _is_free(lock) and time.monotonic() < until:
                if reporter := self.reporter():
                    with suppress(psutil.NoSuchProcess):
                        reporter.kill()
                time.sleep(0.05)

    def conclude(self, outcome: Outcome) -> None:
        """Keeps what the pipeline run came to."""
        files.write_json(self.folder / "outcome.json", outcome.model_dump())

    def outcome(self) -> Outcome | None:
        """Returns what the pipeline run came to; None where a stage failed or others never ran."""
        path = self.folder / "outcome.json"
        return Outcome.model_validate(files.read_json(path)) if path.exists() else None

    def close(self) -> None:
        """Forgets a pipeline run that MLflow shows whole, all but which was the last."""
        if outcome := self.outcome():
            files.write_json(
                _folder() / LAST,
                {"content": outcome.content(), "pipeline": self.pipeline().model_dump()},
            )
        closed = _folder() / CLOSED
        closed.mkdir(exist_ok=True)
        # At once: what is left of a folder that was deleted in part looks like a stage that failed.
        self.folder.rename(closed / self.folder.name)
        shutil.rmtree(closed)


@contextmanager
def alone() -> Iterator[None]:
    """Keeps other publishers of this project waiting; what they find then is whole, or gone."""
    _folder().mkdir(exist_ok=True)
    with (_folder() / LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            print(
                f"track: WARNING: {TRACKING}/{LOCK_FILE} cannot be locked on this file system "
                f"({error.strerror}); let no other `dvc repro` or `make publish` of this project "
                "end at the same time"
            )
        yield


def pending() -> Iterator[Outbox]:
    """Yields the pipeline runs that MLflow does not show whole yet, the oldest first."""
    found = [Outbox(path.parent) for path in litter.visible(_folder(), "*/pipeline.json")]
    yield from sorted(found, key=lambda outbox: outbox.pipeline().started)


def known(outcome: Outcome) -> Pipeline | None:
    """Returns the pipeline run, published last or not yet, that came to the same; None: none."""
    for outbox in pending():
        came_to = outbox.outcome()
        if came_to and came_to.content() == outcome.content():
            return outbox.pipeline()
    if (_folder() / LAST).exists():
        last = files.read_json(_folder() / LAST)
        if last["content"] == outcome.content():
            return Pipeline.model_validate(last["pipeline"])
    return None


def end_reporters(project: Path) -> None:
    """Ends the reporters of a project, so that nothing writes there any more.

    What they had to tell MLflow stays in the project, and the next `dvc repro` tells it.
    """
    for path in litter.visible(project / TRACKING, "*/pipeline.json"):
        Outbox(path.parent).end_reporter()


def _folder() -> Path:
    return pipeline_run.project() / TRACKING


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _is_free(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # Where nothing can be locked, stages start no reporter.
        return True
    return True
