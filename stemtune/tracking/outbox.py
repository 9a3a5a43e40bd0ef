"""Pipeline runs that MLflow does not show whole yet, kept on disk until it does.

A folder per pipeline run, `.tracking/<key>/`, with the records of its stages as they stand, links
to the files that belong to them, and, once all stages are done, the outcome. It holds all that
MLflow has to show, so it can be published at any later time. If an experiment runs in a copy of
the project, the folder is in the project all the same, since DVC deletes the copy.
"""

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from pydantic import BaseModel

from stemtune.core import dvc, files, litter, typed_json
from stemtune.core.errors import InputError
from stemtune.core.paths import TRACKING
from stemtune.core.records import Record
from stemtune.tracking import pipeline_run, store
from stemtune.tracking.pipeline_run import PipelineRun
from stemtune.tracking.process import Process

RUN, OUTCOME, LEASE, PROBLEM = "pipeline.json", "outcome.json", "lease", "problem.txt"
SHOWN, CLOSED, UNREADABLE = "shown", "closed", "unreadable"
# How long a run of another machine is taken to go on after it last said so.
LEASE_SECONDS = 600
LOST = (
    "the process ended without an error message: it was killed, or ran out of memory\n"
    "what it printed last is in the terminal; `dvc repro` runs the stage again"
)


class Data(BaseModel):
    """The data: DVC's hash, the side of frames in px, and numbers of classes, clips and frames."""

    digest: str
    size: int
    counts: dict[str, int]


class Registered(BaseModel):
    """A model for the registry: its name, an alias, DVC's hash of its folder, and a description."""

    name: str
    alias: str
    digest: str
    description: str = ""


class Outcome(BaseModel):
    """The outcome of a pipeline run, once all its stages are done.

    Attributes:
        parent: The record of the whole, whose children are the records of all stages.
        data: That it was computed from.
        registered: Models for the registry; their folders are in the outbox.
        exports: By model, the files that were made of it for devices, and the MD5 of each.
    """

    parent: Record
    data: Data
    registered: list[Registered] = []
    exports: dict[str, dict[str, str]] = {}


class Shown(BaseModel):
    """A pipeline run that MLflow shows whole: its parent's run id, and what to tell people."""

    parent: str
    notes: list[str] = []


class Unreadable(Exception):
    """A file of an outbox cannot be read, now or ever; the message names it."""


@dataclass(frozen=True)
class Outbox:
    """The folder of one pipeline run, `.tracking/<key>/` in the project."""

    folder: Path

    @classmethod
    def current(cls, title: str) -> "Outbox":
        """Returns the folder of the pipeline run that this process belongs to.

        Args:
            title: Of a pipeline run without DVC.
        """
        owner = Process.of(dvc.owner(psutil.Process()))
        found = cls(root() / pipeline_run.key_of(owner))
        if not (found.folder / RUN).exists():
            run = pipeline_run.current(title)
            found.describe(run.model_copy(update={"store": store.digest()}))
        return found

    def describe(self, run: PipelineRun) -> None:
        """Makes the folder that of a pipeline run."""
        _write(self.folder / RUN, run)

    def run(self) -> PipelineRun:
        """Returns the pipeline run that the folder belongs to."""
        return _read(self.folder / RUN, PipelineRun)

    def begin(self, record: Record) -> None:
        """Keeps the record of a stage that begins, and notes that this process runs it."""
        # Of an earlier process, which would be taken for the one that runs it.
        self._begun(record.name).unlink(missing_ok=True)
        _write(self._record(record.name), record)
        _write(self._begun(record.name), Process.of(psutil.Process()))

    def keep(self, record: Record) -> None:
        """Keeps the record of a stage, as it stands."""
        files.write_json(
            self._record(record.name), record.model_dump(), durable=record.status != "running"
        )

    def link(self, path: Path, place: str) -> None:
        """Keeps a file or folder under a name of the outbox, by links where that is possible."""
        if path.is_dir():
            for inner in path.iterdir():
                self.link(inner, f"{place}/{inner.name}")
        elif path.exists():
            target = self.folder / place
            target.parent.mkdir(parents=True, exist_ok=True)
            # Written in full first: a link has its content at once, a copy has not.
            with files.replacing(target) as beside:
                try:
                    os.link(path.resolve(), beside)
                except OSError:
                    shutil.copyfile(path, beside)

    def attach(self, stage: str, paths: Sequence[Path]) -> None:
        """Keeps files and folders to be shown beside the run of a stage; "" for the parent."""
        for path in paths:
            self.link(path, f"artifacts/{stage or 'pipeline'}/{path.name}")

    def artifacts(self, stage: str) -> Path:
        """Returns the folder of what is attached to a stage; "" for the parent."""
        return self.folder / "artifacts" / (stage or "pipeline")

    def conclude(self, outcome: Outcome) -> None:
        """Keeps the outcome of the pipeline run."""
        _write(self.folder / OUTCOME, outcome)

    def outcome(self) -> Outcome | None:
        """Returns the outcome; None if a stage failed or others never ran."""
        path = self.folder / OUTCOME
        return _read(path, Outcome) if path.exists() else None

    def renew(self) -> None:
        """Says, for other machines that share the folder, that the pipeline run goes on."""
        (self.folder / LEASE).touch()

    def is_at_work(self, process: Process) -> bool:
        """Returns whether a process of the pipeline run is at work, on whichever machine."""
        if process.is_here:
            return process.find() is not None
        return _modified(self.folder / LEASE) / 1e9 > time.time() - LEASE_SECONDS

    def goes_on(self) -> bool:
        """Returns whether a stage of it is at work, or may yet begin."""
        return any(map(self.is_at_work, [self.run().owner, *self.begun().values()]))

    def is_over(self) -> bool:
        """Returns whether nothing more will come."""
        return (self.folder / OUTCOME).exists() or not self.goes_on()

    def begun(self) -> dict[str, Process]:
        """Returns the processes that run or ran the stages that began, by stage."""
        # No file with a dot in front: a stage that was killed left it half-written.
        paths = litter.visible(self.folder / "begun", "[!.]*.json")
        return {path.stem: _read(path, Process) for path in paths}

    def records(self) -> list[Record]:
        """Returns the records of the stages that began, in the order of their starts.

        A stage that was killed has one that failed.
        """
        found = [self._record_of(*begun) for begun in self.begun().items()]
        return sorted(found, key=lambda record: record.started)

    def state(self, goes_on: bool) -> tuple[object, ...]:
        """Returns what changes when there is news, quicker than to read it.

        Args:
            goes_on: From `goes_on`.
        """
        begun = self.begun()
        paths = [self.folder / OUTCOME, self.folder / RUN, *map(self._record, begun)]
        return (*map(self.is_at_work, begun.values()), goes_on, *map(_modified, paths))

    def trouble(self, told: str) -> None:
        """Notes what keeps the pipeline run out of MLflow."""
        # On a full disk, or in another user's folder, the log has it.
        with suppress(OSError, InputError):
            if (self.folder / RUN).exists():
                files.write_text(self.folder / PROBLEM, told)

    def problem(self, since: float) -> str:
        """Returns what keeps it out of MLflow, if noted after a time in seconds since 1970."""
        path = self.folder / PROBLEM
        with suppress(FileNotFoundError):
            return path.read_text() if path.stat().st_mtime >= since else ""
        return ""

    def close(self, shown: Shown) -> None:
        """Deletes a published outbox; remembers its run and what to say of it."""
        files.write_json(self._shown, shown.model_dump())
        _put_aside(self.folder, CLOSED)
        shutil.rmtree(root() / CLOSED)

    def shown(self) -> Shown | None:
        """Returns how MLflow shows the pipeline run that was closed; None if it does not."""
        try:
            return typed_json.read(self._shown, Shown)
        except InputError:
            # It is missing, or damaged, and for people's eyes alone.
            return None

    @property
    def _shown(self) -> Path:
        return root() / SHOWN / f"{self.folder.name}.json"

    def _record(self, stage: str) -> Path:
        return self.folder / "stages" / f"{stage}.json"

    def _begun(self, stage: str) -> Path:
        return self.folder / "begun" / f"{stage}.json"

    def _record_of(self, stage: str, process: Process) -> Record:
        """Returns the record of a stage that began in a process, as it stands."""
        # Looked at first, as a process may end with what it writes last.
        has_ended, path = not self.is_at_work(process), self._record(stage)
        if not path.exists() and self._begun(stage).exists():
            raise Unreadable(f"{path} is missing")
        record = _read(path, Record)
        if has_ended and record.status == "running":
            record.fail(LOST, path.stat().st_mtime)
        return record


def root() -> Path:
    """Returns the folder of all outboxes of the project."""
    return dvc.project() / TRACKING


def pending() -> Iterator[Outbox]:
    """Yields the pipeline runs that MLflow does not show whole yet, the oldest first.

    One that cannot be read is moved aside and named.
    """
    found = []
    for path in litter.visible(root(), f"*/{RUN}"):
        outbox = Outbox(path.parent)
        # It may be closed at this moment, or be another user's, who publishes it.
        with suppress(FileNotFoundError, PermissionError):
            try:
                found.append((outbox.run().started, outbox))
            except Unreadable as error:
                put_aside(outbox, error)
    yield from (outbox for _, outbox in sorted(found, key=lambda each: each[0]))


def put_aside(outbox: Outbox, error: Unreadable) -> None:
    """Puts an outbox that cannot be read where it keeps no other waiting, and says so."""
    place = _put_aside(outbox.folder, UNREADABLE)
    print(f"tracking: WARNING: {error}\nIt was moved to {place}", flush=True)


def _put_aside(folder: Path, place: str) -> Path:
    target = root() / place / folder.name
    target.parent.mkdir(exist_ok=True)
    if target.exists():
        shutil.rmtree(target)
    # At once: what is left of a folder that was deleted in part looks like a stage that failed.
    return folder.rename(target)


def _write(path: Path, content: BaseModel) -> None:
    files.write_json(path, content.model_dump(mode="json"), durable=True)


def _read(path: Path, kind: type[typed_json.Content]) -> typed_json.Content:
    try:
        remedy = "MLflow does not show this pipeline run; its results are kept"
        text = path.read_text(encoding="utf-8", errors="replace")
        return typed_json.parse(text, str(path), kind, remedy)
    except InputError as error:
        raise Unreadable(error) from None


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
