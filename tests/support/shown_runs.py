"""A pipeline run of three stages in an outbox, and what a store shows of it."""

import shutil
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from stemtune.core import files
from stemtune.core.records import Epoch, Record
from stemtune.tracking import runs
from stemtune.tracking.outbox import Data, Outbox, Outcome
from stemtune.tracking.pipeline_run import PipelineRun
from stemtune.tracking.process import Process
from stemtune.tracking.publisher import Publisher

STARTED = time.time() - 100
KEYS = {"tune_lr": "k1", "train_best": "k2", "evaluate": "k3"}
DIGEST = "0123456789abcdef0123456789abcdef.dir"
NAMES = {"pipeline", *KEYS, "trial 1", "stem, as_published"}


def here(started: float = 0.0) -> Process:
    """Returns a process of this machine that has ended, or this one if its start is given."""
    this = Process.of(psutil.Process())
    return this.model_copy(update={"started": started})


def this_process() -> Process:
    return Process.of(psutil.Process())


def pipeline(key: str = "one", **more: Any) -> PipelineRun:
    given: dict[str, Any] = {"commit": "c0ffee", "dirty": True, "owner": here()}
    return PipelineRun(key=key, name="pipeline", started=STARTED, **given | more)


def records() -> list[Record]:
    epochs = [
        Epoch(epoch=k, time=STARTED - 40 + k, seconds=1.0, metrics={"train_loss": 1 / k})
        for k in (1, 2)
    ]
    done: dict[str, Any] = {"status": "finished"}
    trial = Record(name="trial 1", started=STARTED - 50, params={"learning_rate": 0.01}, **done)
    trial.epochs, trial.metrics = epochs, {"test_accuracy": 0.75}
    cached = Record(name="tune_lr", started=STARTED - 60, seconds=20, energy_wh=0.5, **done)
    cached.children, cached.environment = [trial], {"cpu": "abacus"}
    fresh = Record(name="train_best", started=STARTED + 5, seconds=3, epochs=epochs, **done)
    model = Record(name="as_published", started=STARTED + 9, metrics={"test_loss": 2.5}, **done)
    last = Record(name="evaluate", started=STARTED + 9, seconds=2, children=[model], **done)
    return [cached, fresh, last]


def outcome(run: PipelineRun | None = None) -> Outcome:
    stages = records()
    [model] = stages[-1].children
    model.title, model.description = "stem, as_published", "read"
    model.metrics["train_seconds"] = 9.0
    parent = Record(name="pipeline", started=STARTED, seconds=30, status="finished")
    parent.children, parent.description = stages, "| a table |"
    for stage in stages:
        stage.tags = {"stage_key": KEYS[stage.name]}
    parent.metrics, parent.params = {"paper_test_accuracy": 0.8}, {"recommended": "int8"}
    parent.tags = {"dvc.lock": "10c4", "threads": "2"}
    data = Data(digest=DIGEST, size=224, counts={"clips": 3})
    return Outcome(parent=parent, data=data)


def kept_of(run: PipelineRun, kept: list[Record] | None = None, over: bool = True) -> Outbox:
    """Returns the outbox of a pipeline run with an artifact for each stage and the whole."""
    found = Outbox(Path(".tracking") / run.key)
    found.describe(run)
    Path("report.html").write_text("<p>report</p>")
    for record in kept or records():
        begin_and_end(found, record)
        found.attach(record.name, [Path("report.html")])
    found.attach("", [Path("report.html")])
    if over:
        found.conclude(outcome())
    return found


def begin_and_end(kept: Outbox, record: Record, process: Process | None = None) -> None:
    """Has a stage begin in a process that is no more, unless another one is named."""
    begun = process or here()
    files.write_json(kept.folder / f"begun/{record.name}.json", begun.model_dump())
    kept.keep(record)


def publish(run: PipelineRun | None = None) -> str:
    return Publisher().show(kept_of(run or pipeline()))


def new_store(folder: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    folder.mkdir(exist_ok=True)
    shutil.copy(empty_store, folder)
    uri = f"sqlite:///{folder}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return MlflowClient(uri)


def runs_of(store: MlflowClient) -> list[Run]:
    experiment = store.get_experiment_by_name("stemtune")
    return list(store.search_runs([experiment.experiment_id])) if experiment else []


def by_name(store: MlflowClient) -> dict[str, Run]:
    found = runs_of(store)
    named = {run.info.run_name: run for run in found}
    assert len(named) == len(found)
    return named


def everything(store: MlflowClient) -> dict[str, Any]:
    """All that the runs hold, each value of each metric too, by key."""
    return {
        run.data.tags[runs.KEY]: (
            run.info.run_name,
            run.info.status,
            run.info.start_time,
            run.info.end_time,
            run.data.params,
            {
                name: [
                    (point.step, point.timestamp, point.value)
                    for point in store.get_metric_history(run.info.run_id, name)
                ]
                for name in run.data.metrics
            },
            {name: value for name, value in run.data.tags.items() if "parent" not in name},
            sorted(file.path for file in store.list_artifacts(run.info.run_id)),
        )
        for run in runs_of(store)
    }
