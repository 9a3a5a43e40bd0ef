"""Shows a pipeline run in MLflow: one parent, and a child per stage, trial and model.

The runs are written from run records, so that a cached stage shows as fully as one that just ran,
with the times of when it did.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# MLflow reports usage unless told not to, and reads this when it is imported.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import mlflow
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from stemtune.pipeline import Pipeline
from stemtune.records import Record

EXPERIMENT = "stemtune"
DEFAULT_STORE = "sqlite:///mlflow.db"
STORE_VARIABLE = "MLFLOW_TRACKING_URI"
# Set by `mlflow run`, whose run then is the parent.
RUN_VARIABLE = "MLFLOW_RUN_ID"
BATCH = 1000


@dataclass(frozen=True)
class Summary:
    """What a pipeline run came to.

    Attributes:
        metrics: For the parent run.
        model_metrics: By model, what its own run shows beside what evaluate measured.
        description: For the parent run, Markdown.
        artifacts: Files for the parent run.
    """

    metrics: Mapping[str, float]
    model_metrics: Mapping[str, Mapping[str, float]]
    description: str
    artifacts: Sequence[str]


def publish(records: Sequence[Record], pipeline: Pipeline, summary: Summary) -> str:
    """Writes a pipeline run into the MLflow store.

    The store is `MLFLOW_TRACKING_URI`, or mlflow.db in the project.

    Args:
        records: Of the stages, in order.
        pipeline: The run they belong to.
        summary: What it came to.

    Returns:
        The parent's run id.

    Raises:
        mlflow.exceptions.MlflowException: The store refuses or cannot be reached.
    """
    mlflow.set_tracking_uri(os.environ.get(STORE_VARIABLE, DEFAULT_STORE))
    client = MlflowClient()
    parent, experiment = _open_parent(client, pipeline)
    for record in records:
        tags = {
            "dvc.stage": record.name,
            "stage_key": pipeline.stage_keys[record.name],
            "cached": str(record.started < pipeline.started).lower(),
            "git.commit": pipeline.commit,
        }
        stage = _write(client, experiment, parent, record, tags, {})
        for part in record.parts:
            more = summary.model_metrics.get(part.name, {})
            _write(client, experiment, stage, part, tags, more)
    for path in summary.artifacts:
        client.log_artifact(parent, path)
    client.log_inputs(parent, [_dataset(pipeline)])
    client.log_batch(
        parent,
        metrics=_metrics(summary.metrics, time.time(), 0),
        tags=[RunTag("mlflow.note.content", summary.description)],
    )
    if RUN_VARIABLE not in os.environ:
        client.set_terminated(parent)
    return parent


def _experiment_id(client: MlflowClient) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    return found.experiment_id if found else client.create_experiment(EXPERIMENT)


def _open_parent(client: MlflowClient, pipeline: Pipeline) -> tuple[str, str]:
    """Returns the ids of the parent run and of its experiment, where its children belong too."""
    tags = {"git.commit": pipeline.commit, "git.dirty": str(pipeline.dirty).lower()}
    if pipeline.experiment:
        tags["dvc.experiment"] = pipeline.experiment
    if given := os.environ.get(RUN_VARIABLE):
        for name, value in tags.items():
            client.set_tag(given, name, value)
        return given, client.get_run(given).info.experiment_id
    experiment = _experiment_id(client)
    run = client.create_run(
        experiment, _milliseconds(pipeline.started), tags, pipeline.experiment or "pipeline"
    )
    return run.info.run_id, experiment


def _write(
    client: MlflowClient,
    experiment: str,
    parent: str,
    record: Record,
    tags: Mapping[str, str],
    more_metrics: Mapping[str, float],
) -> str:
    """Writes the run of a stage, trial or model, and returns its id."""
    run = client.create_run(
        experiment,
        _milliseconds(record.started),
        {**tags, "mlflow.parentRunId": parent},
        record.name,
    ).info.run_id
    ended = record.started + record.seconds
    results = {**record.metrics, **more_metrics, "seconds": record.seconds}
    if record.energy_wh is not None:
        results["estimated_wh"] = record.energy_wh
    metrics = [
        metric
        for epoch in record.epochs
        for metric in _metrics(epoch.metrics, epoch.time, epoch.epoch)
    ]
    # Results come last: MLflow shows the value of the highest step.
    metrics += _metrics(results, ended, len(record.epochs))
    params = [Param(name, str(value)) for name, value in record.params.items()]
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run, metrics[start : start + BATCH], params if start == 0 else [])
    for path in record.artifacts:
        client.log_artifact(run, path)
    client.set_terminated(run, end_time=_milliseconds(ended))
    return run


def _metrics(values: Mapping[str, float], at: float, step: int) -> list[Metric]:
    return [Metric(name, value, _milliseconds(at), step) for name, value in values.items()]


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _dataset(pipeline: Pipeline) -> DatasetInput:
    dataset = Dataset(
        name="data",
        # MLflow's store takes up to 36 characters; DVC's hash of a folder has 36 with its ".dir".
        digest=pipeline.data_digest,
        source_type="dvc",
        source=json.dumps({"path": "data", "md5": pipeline.data_digest}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training and evaluation")])
