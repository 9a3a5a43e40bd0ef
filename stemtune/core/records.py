"""Run records: what a stage did, kept beside its outputs, so a cached stage can still tell.

DVC skips a stage whose outputs it has, and then no code runs that could report to MLflow. Hence
each stage leaves a record, DVC caches it, and MLflow shows records, old and new alike. Records
hold times, so no stage except track may depend on them.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_serializer

from stemtune.core import typed_json
from stemtune.core.results import Epoch

FOLDER = Path("records")


class Record(BaseModel):
    """A run in MLflow: a pipeline run, a stage, a trial or a model.

    Attributes:
        name: Of the stage (`add_stem@as_published`), trial or model.
        title: How MLflow's pages name it; "": by its name.
        status: `running` until it finishes or fails.
        error: Why it failed.
        started: Seconds since 1970.
        seconds: How long it took.
        params: Settings that it ran with, by dotted name.
        metrics: Results; names as in metrics/evaluate.json and metrics/timings.json. A value that
            is not finite is not written.
        epochs: In order.
        notes: What people should know of it, in words.
        tags: What runs are found by.
        description: Markdown.
        artifacts: Files, relative to the project, worth showing beside the run.
        children: Records of the stages, trials or models inside it.
        energy_wh: Estimated energy, watt-hours; None for a child.
        energy_method: How the energy was estimated.
        environment: Processor, versions and variables that a stage ran with.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    title: str = ""
    status: Literal["running", "finished", "failed"] = "running"
    error: str = ""
    started: float
    seconds: float = 0.0
    params: dict[str, Any] = {}
    metrics: dict[str, float] = {}
    epochs: list[Epoch] = []
    notes: list[str] = []
    tags: dict[str, str] = {}
    description: str = ""
    artifacts: list[str] = []
    children: list["Record"] = []
    energy_wh: float | None = None
    energy_method: str = ""
    environment: dict[str, str] = {}

    @classmethod
    def start(cls, name: str, params: dict[str, Any] | None = None) -> "Record":
        """Returns the record of something that starts now."""
        return cls(name=name, started=time.time(), params=params or {})

    @property
    def ended(self) -> float:
        """When it ended, seconds since 1970."""
        return self.started + self.seconds

    def child(self, name: str, params: dict[str, Any]) -> "Record":
        """Returns the record of a child that starts now, a trial or model."""
        child = Record.start(name, params)
        self.show(child)
        return child

    @contextmanager
    def timed(self, params: dict[str, Any]) -> Iterator[None]:
        """Runs a block with these settings, at whose end what the record is about is done.

        It started when the record did: MLflow changes the start of no run that it shows.
        """
        self.params = params
        yield
        self.finish()

    @contextmanager
    def following(self, name: str, params: dict[str, Any]) -> Iterator[Callable[[Epoch], None]]:
        """Yields a function that takes the epochs of a child that begins now, and finishes it."""
        child = self.child(name, params)
        yield child.add
        child.finish()

    def show(self, child: "Record") -> None:
        """Adds the record of a child, in the place of an earlier one of its name."""
        names = [known.name for known in self.children]
        if child.name in names:
            self.children[names.index(child.name)] = child
        else:
            self.children.append(child)

    def add(self, epoch: Epoch) -> None:
        """Notes an epoch that is over."""
        self.epochs.append(epoch)

    def note(self, text: str) -> None:
        """Notes what people should know; the stage prints it in the end."""
        self.notes.append(text)

    def finish(self) -> None:
        """Notes that it is done, and how long it took since it started."""
        self.status, self.seconds = "finished", time.time() - self.started

    def fail(self, error: str, at: float) -> None:
        """Notes that it failed, and with it each child that had not finished.

        Args:
            error: Why it failed.
            at: When, seconds since 1970.
        """
        for child in self.children:
            if child.status == "running":
                child.fail("", at)
        self.status, self.error, self.seconds = "failed", error, max(0.0, at - self.started)

    @field_serializer("metrics")
    def _finite(self, metrics: dict[str, float]) -> dict[str, float]:
        return {name: value for name, value in metrics.items() if math.isfinite(value)}


def path_of(stage: str) -> Path:
    """Returns the path of the record of a stage (`tune_lr`, `add_stem@as_published`)."""
    return FOLDER / f"{stage}.json"


def read(path: Path) -> Record:
    """Reads the record of a stage.

    Raises:
        FileNotFoundError: It is missing.
        InputError: It is no record; the message names the key and the value seen.
    """
    return typed_json.read(path, Record)
