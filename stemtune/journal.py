"""Pipeline runs that MLflow does not show whole yet, kept on disk until it does.

A folder per pipeline run, `.tracking/<key>/`, with the records of the stages that ran, copies of
the files to attach, and, once all stages are done, what came of it. Each of them can be published
from its folder alone, again and again, at any later time.
"""

import fcntl
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from pydantic import BaseModel, ConfigDict

from stemtune import files
from stemtune.paths import TRACKING
from stemtune.pipeline import Lock, Pipeline
from stemtune.records import Record

LAST = TRACKING / "last.json"


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
        description: For the parent run, Markdown.
        models: What their runs show, by name in evaluate's record.
        registered: For the registry.
    """

    model_config = ConfigDict(frozen=True)

    lock: Lock
    environment: dict[str, str]
    size: int
    counts: dict[str, int]
    metrics: dict[str, float]
    description: str
    models: dict[str, Shown]
    registered: list[Registered]

    def content(self) -> str:
        """Returns a name for it: equal results, equal name."""
        return files.key(json.dumps(self.model_dump(), sort_keys=True))


class Journal:
    """The folder of one pipeline run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def open(cls, pipeline: Pipeline) -> "Journal":
        """Returns the folder of a pipeline run, made where it is not there."""
        journal = cls(TRACKING / pipeline.key)
        path = journal.folder / "pipeline.json"
        if not path.exists():
            files.write_json(path, pipeline.model_dump())
        return journal

    def pipeline(self) -> Pipeline:
        """Returns the pipeline run that the folder belongs to."""
        return Pipeline.model_validate(files.read_json(self.folder / "pipeline.json"))

    def followed_by(self, reporter: psutil.Process) -> None:
        """Notes a reporter, so that track can wait for it."""
        files.write_json(
            self.folder / "reporters" / f"{reporter.pid}.json", {"started": reporter.create_time()}
        )

    def reporters(self) -> list[psutil.Process]:
        """Returns the reporters of this machine that are still at work."""
        found = []
        for path in (self.folder / "reporters").glob("*.json"):
            try:
                process = psutil.Process(int(path.stem))
                if process.create_time() == files.read_json(path)["started"]:
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def keep(self, record: Record) -> None:
        """Keeps the record of a stage, and its artifacts as they are now."""
        self.attach(record.name, [Path(path) for path in record.artifacts])
        files.write_json(self.folder / "stages" / f"{record.name}.json", record.model_dump())

    def attach(self, name: str, paths: Sequence[Path]) -> None:
        """Copies files and folders, to be shown beside the run of a stage; "" for the parent."""
        for path in paths:
            if path.is_dir():
                shutil.copytree(path, self.artifacts(name) / path.name, dirs_exist_ok=True)
            elif path.exists():
                with files.replacing(self.artifacts(name) / path.name) as beside:
                    shutil.copyfile(path, beside)

    def artifacts(self, name: str) -> Path:
        """Returns the folder of what is attached to a stage; "" for the parent."""
        return self.folder / "artifacts" / (name or "pipeline")

    def records(self) -> list[Record]:
        """Returns the records that are kept, in the order in which the stages started."""
        found = [
            Record.model_validate(files.read_json(path))
            for path in (self.folder / "stages").glob("*.json")
        ]
        return sorted(found, key=lambda record: record.started)

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
                LAST, {"content": outcome.content(), "pipeline": self.pipeline().model_dump()}
            )
        shutil.rmtree(self.folder)


@contextmanager
def alone() -> Iterator[None]:
    """Keeps other publishers of this folder waiting; what they find then is whole, or gone."""
    TRACKING.mkdir(exist_ok=True)
    with (TRACKING / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def pending() -> Iterator[Journal]:
    """Yields the pipeline runs that MLflow does not show whole yet, the oldest first."""
    found = [Journal(path.parent) for path in TRACKING.glob("*/pipeline.json")]
    yield from sorted(found, key=lambda journal: journal.pipeline().started)


def known(outcome: Outcome) -> Pipeline | None:
    """Returns the pipeline run, published last or not yet, that came to the same; None: none."""
    for journal in pending():
        came_to = journal.outcome()
        if came_to and came_to.content() == outcome.content():
            return journal.pipeline()
    if LAST.exists():
        last = files.read_json(LAST)
        if last["content"] == outcome.content():
            return Pipeline.model_validate(last["pipeline"])
    return None
