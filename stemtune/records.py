"""Run records: what a stage did, kept beside its outputs so that a cached stage can still tell.

DVC skips a stage whose outputs it has, and then no code runs that could report to MLflow. Hence
each stage leaves a record, DVC caches it, and track publishes records, old and new alike. Records
hold times, so that no stage but track may depend on them.

While a stage runs, its record as it stands is in a file for the reporter to show (`announce`).
"""

import logging
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, PrivateAttr

from stemtune.files import read_json, write_json
from stemtune.paths import TRACKING

FOLDER = Path("records")
LIVE = TRACKING / "live"
CPU_INFO = Path("/proc/cpuinfo")
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


class Epoch(BaseModel):
    """Metrics at the end of one epoch (from 1) and the time then, seconds since 1970."""

    epoch: int
    time: float
    seconds: float
    metrics: dict[str, float]


class Record(BaseModel):
    """A stage, a trial or a model: settings, results, epochs, and the parts it consists of.

    Attributes:
        name: Of the stage (`add_stem@paper`), trial or model.
        status: `running` until it finishes or fails.
        error: What it failed of.
        started: Seconds since 1970.
        seconds: How long it took.
        params: Settings that it ran with, by dotted name.
        metrics: Results; names as in metrics/evaluate.json and metrics/timings.json.
        epochs: In order.
        artifacts: Files, relative to the project, worth showing beside the run.
        parts: Records of the trials or models inside it.
        energy_wh: Estimated energy, watt-hours; None for a part.
        energy_method: How the energy was estimated.
        environment: Processor and versions of what it ran with; of a stage.
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
    artifacts: list[str] = []
    parts: list["Record"] = []
    energy_wh: float | None = None
    energy_method: str = ""
    environment: dict[str, str] = {}
    _whole: "Record | None" = PrivateAttr(default=None)
    _announced: bool = PrivateAttr(default=False)

    @classmethod
    def start(cls, name: str, params: dict[str, Any]) -> "Record":
        """Returns the record of something that starts now."""
        return cls(name=name, started=time.time(), params=params)

    def part(self, name: str, params: dict[str, Any]) -> "Record":
        """Returns the record of a part that starts now, a trial or model."""
        part = Record.start(name, params)
        part._whole = self
        self.parts.append(part)
        self.announce()
        return part

    def add(self, epoch: Epoch) -> None:
        """Notes an epoch that is over."""
        self.epochs.append(epoch)
        self.announce()

    def finish(self) -> None:
        """Notes that it is done, and how long it took since it started."""
        self.status, self.seconds = "finished", time.time() - self.started
        self.announce()

    def announce(self) -> None:
        """Lets the reporter see how far the stage is."""
        if self._whole:
            self._whole.announce()
        elif self._announced:
            announce(self)


def announce(record: Record) -> None:
    """Leaves the record of a stage where the reporter looks."""
    write_json(live_path(record.name), record.model_dump())


def preference(record: Record) -> tuple[float, float, float]:
    """Returns a key that sorts records of trained models, the best on validation first.

    By accuracy, then loss, then the lower learning rate.
    """
    metrics = record.metrics
    return (
        -metrics["validation_accuracy"],
        metrics["validation_loss"],
        record.params["learning_rate"],
    )


def path_of(stage: str) -> Path:
    """Returns where the record of a stage (`tune_lr`, `add_stem@paper`) lies."""
    return FOLDER / f"{stage}.json"


def live_path(stage: str) -> Path:
    """Returns where the record of a stage lies while it runs."""
    return LIVE / f"{stage}.json"


def environment() -> dict[str, str]:
    """Returns the processor, its number of cores, and the versions of what results depend on."""
    found = {"cpu": _processor(), "cores": str(os.cpu_count()), "python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            # tensorflow and tensorflow-cpu rule each other out.
            continue
    return found


def _processor() -> str:
    if CPU_INFO.exists():
        for line in CPU_INFO.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


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
    """Reads the record of a stage."""
    return Record.model_validate(read_json(path))
