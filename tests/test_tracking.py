"""What MLflow shows of a pipeline run, in a real store."""

import time
from collections import Counter
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from stemtune import tracking
from stemtune.pipeline import Pipeline
from stemtune.records import Epoch, Record

STARTED = time.time() - 100
KEYS = {"tune_lr": "k1", "train_best": "k2", "evaluate": "k3"}
PIPELINE = Pipeline(STARTED, KEYS, "0123456789abcdef0123456789abcdef.dir", "c0ffee", True, "")


def records() -> list[Record]:
    epochs = [
        Epoch(epoch=k, time=STARTED - 40 + k, seconds=1.0, metrics={"train_loss": 1 / k})
        for k in (1, 2)
    ]
    trial = Record(name="trial 1", started=STARTED - 50, params={"learning_rate": 0.01})
    trial.epochs, trial.metrics = epochs, {"test_accuracy": 0.75}
    cached = Record(name="tune_lr", started=STARTED - 60, seconds=20, parts=[trial], energy_wh=0.5)
    fresh = Record(name="train_best", started=STARTED + 5, seconds=3, epochs=epochs)
    model = Record(name="baseline", started=STARTED + 9, metrics={"ms_per_frame": 2.5})
    last = Record(name="evaluate", started=STARTED + 9, seconds=2, parts=[model])
    return [cached, fresh, last]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    return MlflowClient(uri)


def publish(tmp_path: Path) -> str:
    report = tmp_path / "report.html"
    report.write_text("<p>report</p>")
    summary = tracking.Summary(
        metrics={"baseline_test_accuracy": 0.8},
        model_metrics={"baseline": {"paper_test_accuracy": 0.9207}},
        description="| a table |",
        artifacts=[str(report)],
    )
    return tracking.publish(records(), PIPELINE, summary)


def runs(store: MlflowClient) -> dict[str, Run]:
    experiment = store.get_experiment_by_name("stemtune")
    assert experiment
    found = store.search_runs([experiment.experiment_id])
    return {run.info.run_name: run for run in found}


def test_a_parent_and_a_child_per_stage_trial_and_model(
    store: MlflowClient, tmp_path: Path
) -> None:
    parent = publish(tmp_path)
    shown = runs(store)
    assert set(shown) == {"pipeline", *KEYS, "trial 1", "baseline"}
    assert all(run.info.status == "FINISHED" for run in shown.values())
    above = {name: run.data.tags.get("mlflow.parentRunId", "") for name, run in shown.items()}
    assert {name for name, run in above.items() if run == parent} == set(KEYS)
    assert above["trial 1"] == shown["tune_lr"].info.run_id
    assert above["baseline"] == shown["evaluate"].info.run_id

    top = store.get_run(parent)
    assert top.data.tags["mlflow.note.content"] == "| a table |"
    assert top.data.tags["git.commit"] == "c0ffee"
    assert top.data.metrics["baseline_test_accuracy"] == 0.8
    assert top.inputs.dataset_inputs[0].dataset.digest == PIPELINE.data_digest
    assert [file.path for file in store.list_artifacts(parent)] == ["report.html"]


def test_a_cached_stage_shows_its_own_times_and_says_that_it_is_cached(
    store: MlflowClient, tmp_path: Path
) -> None:
    publish(tmp_path)
    shown = runs(store)
    cached = {name: run.data.tags["cached"] for name, run in shown.items() if name in KEYS}
    assert cached == {"tune_lr": "true", "train_best": "false", "evaluate": "false"}
    tune = shown["tune_lr"]
    assert tune.data.tags["dvc.stage"] == "tune_lr"
    assert tune.data.tags["stage_key"] == "k1"
    assert tune.info.start_time == round((STARTED - 60) * 1000)
    assert tune.info.end_time == round((STARTED - 40) * 1000)
    assert tune.data.metrics["estimated_wh"] == 0.5
    trial = shown["trial 1"]
    assert trial.data.params == {"learning_rate": "0.01"}
    assert trial.data.metrics["test_accuracy"] == 0.75
    losses = store.get_metric_history(trial.info.run_id, "train_loss")
    assert [(point.step, point.value) for point in losses] == [(1, 1.0), (2, 0.5)]
    assert shown["baseline"].data.metrics["paper_test_accuracy"] == 0.9207


def test_each_pipeline_run_is_shown_whole(store: MlflowClient, tmp_path: Path) -> None:
    publish(tmp_path)
    publish(tmp_path)
    experiment = store.get_experiment_by_name("stemtune")
    assert experiment
    names = Counter(run.info.run_name for run in store.search_runs([experiment.experiment_id]))
    assert set(names.values()) == {2}


def test_the_run_of_mlflow_run_becomes_the_parent(
    store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = store.create_experiment("of mlflow run")
    given = store.create_run(experiment).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", given)
    assert publish(tmp_path) == given
    # `mlflow run` itself ends it.
    assert store.get_run(given).info.status == "RUNNING"
    shown = {run.info.run_name: run for run in store.search_runs([experiment])}
    assert shown["tune_lr"].data.tags["mlflow.parentRunId"] == given
