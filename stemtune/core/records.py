"""Run records: what a stage did, kept beside its outputs so that a cached stage can still tell.

DVC skips a stage whose outputs it has, and then no code runs that could report to MLflow. Hence
each stage leaves a record, DVC caches it, and track publishes records, old and new alike. Records
hold times, so that no stage but track may depend on them.

While a stage runs, its record as it stands is in a file for the reporter to show (`shown_in`).
"""

import logging
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, PrivateAttr

from stemtune.core import printable, processor, shell, typed_json
from stemtune.core.files import write_json
from stemtune.core.results import Epoch

FOLDER = Path("records")
# What results depend on, where it is installed.
LIBRARIES = (
    "av",
    "great-expectations",
    "keras",
    "keras-tuner",
    "numpy",
    "pandas",
    "tensorflow",
    "tensorflow-cpu",
)
# Where records are shown while they grow; None: nowhere.
_shown_in: Path | None = None


class Record(BaseModel):
    """A stage, a trial or a model: settings, results, epochs, and its children.

    Attributes:
        name: Of the stage (`add_stem@as_published`), trial or model.
        status: `running` until it finishes or fails.
        error: What it failed of.
        started: Seconds since 1970.
        seconds: How long it took.
        params: Settings that it ran with, by dotted name.
        metrics: Results; names as in metrics/evaluate.json and metrics/timings.json.
        epochs: In order.
        notes: What people should know of it, in words.
        artifacts: Files, relative to the project, worth showing beside the run.
        children: Records of the trials or models inside it.
        energy_wh: Estimated energy, watt-hours; None for a child.
        energy_method: How the energy was estimated.
        environment: Processor, versions and variables that it ran with; of a stage.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    status: Literal["running", "finished", "failed"] = "running"
    error: str = ""
    started: float
    seconds: float = 0.0
    params: dict[str, Any] = {}
    metrics: dict[str, float] = {}
    epochs: list[Epoch] = []
    notes: list[str] = []
    artifacts: list[str] = []
    children: list["Record"] = []
    energy_wh: float | None = None
    energy_method: str = ""
    environment: dict[str, str] = {}
    _parent: "Record | None" = PrivateAttr(default=None)
    _announced: bool = PrivateAttr(default=False)

    @classmethod
    def start(cls, name: str, params: dict[str, Any]) -> "Record":
        """Returns the record of something that starts now."""
        return cls(name=name, started=time.time(), params=params)

    def child(self, name: str, params: dict[str, Any]) -> "Record":
        """Returns the record of a child that starts now, a trial or model."""
        child = Record.start(name, params)
        self.show(child)
        return child

    @contextmanager
    def following(self, name: str, params: dict[str, Any]) -> Iterator[Callable[[Epoch], None]]:
        """Yields what takes the epochs of a child that begins now, and finishes it."""
        child = self.child(name, params)
        yield child.add
        child.finish()

    def show(self, child: "Record") -> None:
        """Takes in the record of a child, in the place of an earlier one of its name."""
        child._parent = self
        names = [known.name for known in self.children]
        if child.name in names:
            self.children[names.index(child.name)] = child
        else:
            self.children.append(child)
        self.announce()

    def add(self, epoch: Epoch) -> None:
        """Notes an epoch that is over."""
        self.epochs.append(epoch)
        self.announce()

    def note(self, text: str) -> None:
        """Tells people something, and keeps it for when the stage is cached."""
        self.notes.append(text)
        print(printable.message(f"{self.name}: {text}"), flush=True)
        self.announce()

    def finish(self) -> None:
        """Notes that it is done, and how long it took since it started."""
        self.status, self.seconds = "finished", time.time() - self.started
        self.announce()

    def fail(self, error: str, at: float) -> None:
        """Notes that it failed, and with it each child that had not finished.

        Args:
            error: What it failed of.
            at: When, seconds since 1970.
        """
        for child in self.children:
            if child.status == "running":
                child.fail("", at)
        self.status, self.error, self.seconds = "failed", error, max(0.0, at - self.started)
        self.announce()

    def announce(self) -> None:
        """Lets the reporter see how far the stage is."""
        if self._parent:
            self._parent.announce()
        elif self._announced:
            announce(self)


@contextmanager
def shown_in(folder: Path) -> Iterator[None]:
    """Has the record of the stage that runs in the block kept in a folder, as it stands."""
    global _shown_in
    _shown_in = folder
    try:
        yield
    finally:
        _shown_in = None


def announce(record: Record) -> None:
    """Shows how far a stage is, if anyone wants to know."""
    if _shown_in:
        write_json(_shown_in / f"{record.name}.json", record.model_dump())


def path_of(stage: str) -> Path:
    """Returns where the record of a stage (`tune_lr`, `add_stem@as_published`) lies."""
    return FOLDER / f"{stage}.json"


def environment() -> dict[str, str]:
    """Returns what results depend on: processor, cores, versions, and variables if any is set."""
    found = {
        "cpu": processor.name(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
    }
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            # tensorflow and tensorflow-cpu rule each other out.
            continue
    if variables := shell.remaining():
        found["variables"] = variables
    return found


@contextmanager
def recording(stage: str, params: dict[str, Any]) -> Iterator[Record]:
    """Measures a stage's time and energy, and writes its record when it succeeds.

    The energy is codecarbon's estimate from the processor's load and nominal power, not a meter's.
    """
    from codecarbon import OfflineEmissionsTracker

    logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
    # Only energy is read; the country, which sets grams of CO2 per kWh, is a required argument.
    tracker = OfflineEmissionsTracker(
        country_iso_code="USA", save_to_file=False, log_level="critical", allow_multiple_runs=True
    )
    record = Record.start(stage, params)
    record.environment, record._announced = environment(), True
    record.announce()
    tracker.start()
    try:
        yield record
    finally:
        tracker.stop()
    emissions = tracker.final_emissions_data
    record.energy_wh = emissions.energy_consumed * 1000
    record.energy_method = (
        f"estimate by codecarbon {emissions.codecarbon_version} from processor load and nominal "
        "power, memory size and, where there is one, the GPU's own meter"
    )
    record.finish()
    write_json(path_of(stage), record.model_dump())


def read(path: Path) -> Record:
    """Reads the record of a stage.

    Raises:
        FileNotFoundError: It is missing.
        InputError: It is no record; the message names the key and the value seen.
    """
    return typed_json.read(path, Record)
