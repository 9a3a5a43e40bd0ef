"""Run records: what a stage did, kept beside its outputs so that a cached stage can still tell.

DVC skips a stage whose outputs it has, and then no code runs that could report to MLflow. Hence
each stage leaves a record, DVC caches it, and track publishes records, old and new alike. Records
hold times, so that no stage but track may depend on them.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from stemtune.files import read_json, write_json

FOLDER = Path("records")


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
        started: Seconds since 1970.
        seconds: How long it took.
        params: Settings that it ran with, by dotted name.
        metrics: Results; names as in metrics/evaluate.json and metrics/timings.json.
        epochs: In order.
        artifacts: Files, relative to the project, worth showing beside the run.
        parts: Records of the trials or models inside it.
        energy_wh: Estimated energy, watt-hours; None for a part.
        energy_method: How the energy was estimated.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    started: float
    seconds: float = 0.0
    params: dict[str, Any] = {}
    metrics: dict[str, float] = {}
    epochs: list[Epoch] = []
    artifacts: list[str] = []
    parts: list["Record"] = []
    energy_wh: float | None = None
    energy_method: str = ""

    @classmethod
    def start(cls, name: str, params: dict[str, Any]) -> "Record":
        """Returns the record of something that starts now."""
        return cls(name=name, started=time.time(), params=params)

    def finish(self) -> None:
        """Notes how long it took since it started."""
        self.seconds = time.time() - self.started


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
