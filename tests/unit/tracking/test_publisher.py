"""What MLflow shows of a pipeline run, in a real store."""

import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import mlflow
import pytest
from markdown_it import MarkdownIt
from mlflow.tracking import MlflowClient

from stemtune.core.records import Record
from stemtune.tracking import runs
from stemtune.tracking.outbox import Registered
from stemtune.tracking.publisher import Publisher
from tests.support.shown_runs import (
    DIGEST,
    KEYS,
    NAMES,
    STARTED,
    begin_and_end,
    by_name,
    everything,
    kept_of,
    new_store,
    outcome,
    pipeline,
    publish,
    records,
    runs_of,
    this_process,
)


def test_a_parent_and_a_child_per_stage_trial_and_model(store: MlflowClient) -> None:
    parent = publish()
    shown = by_name(store)
    assert set(shown) == NAMES
    assert all(run.info.status == "FINISHED" for run in shown.values())
    above = {name: run.data.tags.get("mlflow.parentRunId", "") for name, run in shown.items()}
    assert {name for name, run in above.items() if run == parent} == set(KEYS)
    assert above["trial 1"] == shown["tune_lr"].info.run_id
    assert above["stem, as_published"] == shown["evaluate"].info.run_id

    top = store.get_run(parent)
    assert top.data.tags["mlflow.note.content"] == "| a table |"
    assert top.data.tags["git.commit"] == "c0ffee"
    assert top.data.tags["git.dirty"] == "true"
    assert top.data.tags["dvc.lock"] == "10c4"
    assert top.data.tags["threads"] == "2"
    assert top.data.metrics["paper_test_accuracy"] == 0.8
    assert top.inputs
    [data] = [given.dataset for given in top.inputs.dataset_inputs]
    assert (data.digest, data.source_type) == (DIGEST, "dvc")
    assert data.schema
    assert "[-1, 224, 224, 3]" in data.schema
    for run in (top, shown["evaluate"]):
        assert [file.path for file in store.list_artifacts(run.info.run_id)] == ["report.html"]


def test_a_cached_stage_shows_its_own_times_and_where_it_was_computed(
    store: MlflowClient,
) -> None:
    before = pipeline("before").model_copy(update={"started": STARTED - 70})
    Publisher().show(kept_of(before, records()[:1], over=False))
    [computed] = [run for run in runs_of(store) if run.info.run_name == "tune_lr"]
    assert computed.data.tags["cached"] == "false"

    parent = publish()
    shown = {
        run.info.run_name: run
        for run in runs_of(store)
        if run.data.tags[runs.PIPELINE] == "one" and run.info.run_id != parent
    }
    cached = {name: run.data.tags["cached"] for name, run in shown.items() if name in KEYS}
    assert cached == {"tune_lr": "true", "train_best": "false", "evaluate": "false"}
    tune = shown["tune_lr"]
    assert tune.data.tags["computed_by"] == computed.info.run_id
    assert computed.info.run_id in tune.data.tags["mlflow.note.content"]
    assert tune.data.tags["dvc.stage"] == "tune_lr"
    assert tune.data.tags["stage_key"] == "k1"
    assert tune.data.tags["cpu"] == "abacus"
    assert tune.info.start_time == round((STARTED - 60) * 1000)
    assert tune.info.end_time == round((STARTED - 40) * 1000)
    assert tune.data.metrics == computed.data.metrics
    trial = shown["trial 1"]
    assert trial.data.params == {"learning_rate": "0.01"}
    assert trial.data.metrics["test_accuracy"] == 0.75
    losses = store.get_metric_history(trial.info.run_id, "train_loss")
    assert [(point.step, point.value) for point in losses] == [(1, 1.0), (2, 0.5)]
    assert shown["stem, as_published"].data.metrics["train_seconds"] == 9.0


def test_each_pipeline_run_is_shown_whole(store: MlflowClient) -> None:
    publish()
    publish(pipeline("two"))
    names = Counter(run.info.run_name for run in runs_of(store))
    assert names == dict.fromkeys(NAMES, 2)


def test_publishing_again_changes_nothing(store: MlflowClient) -> None:
    publish()
    before = everything(store)
    publish()
    assert everything(store) == before


def test_what_ran_live_becomes_what_is_published_at_once(
    store: MlflowClient, tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, publisher = pipeline(owner=this_process()), Publisher()
    kept = kept_of(run, records()[:1], over=False)
    (kept.folder / "begun/tune_lr.json").unlink()
    for record in records()[1:]:
        begun = record.model_copy(deep=True, update={"status": "running", "metrics": {}})
        begun.epochs, begun.seconds = record.epochs[:1], 0.0
        begin_and_end(kept, begun, this_process())
        publisher.show(kept)
        child = by_name(store)[record.name]
        assert child.info.status == "RUNNING"
        assert by_name(store)["pipeline"].info.status == "RUNNING"
        losses = store.get_metric_history(child.info.run_id, "train_loss")
        assert [point.step for point in losses] == [epoch.epoch for epoch in begun.epochs]
        begun.epochs = record.epochs
        kept.keep(begun)
        publisher.show(kept)
        begin_and_end(kept, record)
        publisher.show(kept)
        assert by_name(store)[record.name].info.status == "FINISHED"
        assert by_name(store)["pipeline"].info.status == "RUNNING"
    kept_of(run)
    publisher.show(kept)
    at_once = new_store(tmp_path / "at once", empty_store, monkeypatch)
    publish(run)
    assert everything(store) == everything(at_once)


def test_a_stage_that_failed_and_one_that_was_killed(store: MlflowClient) -> None:
    done, failed, killed = records()
    evil = "```\n<b>bold</b> ````"
    failed.status, failed.error = "failed", f"Traceback {evil}\nValueError: no such weights"
    killed.status = "running"
    Publisher().show(kept_of(pipeline(), [done, failed, killed], over=False))
    shown = by_name(store)
    assert shown["tune_lr"].info.status == "FINISHED"
    assert shown["train_best"].info.status == "FAILED"
    assert shown["train_best"].data.tags["error"] == "ValueError: no such weights"
    note = MarkdownIt().parse(shown["train_best"].data.tags["mlflow.note.content"])
    assert [(token.type, token.content) for token in note] == [("fence", f"{failed.error}\n")]
    assert shown["evaluate"].info.status == "FAILED"
    assert shown["pipeline"].info.status == "FAILED"


def test_a_stage_killed_with_the_publisher_leaves_no_run_going_on(store: MlflowClient) -> None:
    [tuned, *_] = records()
    for record in (tuned, *tuned.children):
        record.status = "running"
    run = pipeline(owner=this_process())
    kept = kept_of(run, [tuned], over=False)
    begin_and_end(kept, tuned, this_process())
    Publisher().show(kept)
    assert {shown.info.status for shown in runs_of(store)} == {"RUNNING"}

    kept.describe(pipeline())
    begin_and_end(kept, tuned)
    # It was killed in the middle of the next.
    (kept.folder / "stages/.1.tune_lr.json").write_text('{"name": "tune')
    Publisher().show(kept)
    shown = by_name(store)
    assert set(shown) == {"pipeline", "tune_lr", "trial 1"}
    assert {one.info.status for one in shown.values()} == {"FAILED"}
    assert "without an error message" in shown["tune_lr"].data.tags["mlflow.note.content"]
    assert all(one.info.end_time >= one.info.start_time for one in shown.values())


def test_a_stage_that_fails_takes_the_parts_along_that_were_going_on(store: MlflowClient) -> None:
    tuned = records()[0]
    done = Record(name="trial 0", started=STARTED - 55, status="finished")
    tuned.status = tuned.children[0].status = "running"
    tuned.children.append(done)
    tuned.fail("no such rate", time.time())
    Publisher().show(kept_of(pipeline(), [tuned], over=False))
    states = {name: shown.info.status for name, shown in by_name(store).items()}
    failed = dict.fromkeys(("pipeline", "tune_lr", "trial 1"), "FAILED")
    assert states == failed | {"trial 0": "FINISHED"}


def test_a_parent_has_what_pipeline_runs_are_compared_by(store: MlflowClient) -> None:
    parent = publish(pipeline(changed={"tune_lr.epochs": "7"}))
    data = store.get_run(parent).data
    assert data.params == {"tune_lr.epochs": "7", "recommended": "int8"}
    assert data.tags[runs.CONTENT] not in ("", "not yet")


def test_settings_of_an_experiment_are_tags(store: MlflowClient) -> None:
    changed = {"tune_lr.epochs": "7"}
    parent = publish(pipeline(dvc_experiment="plush-flea", changed=changed))
    tags = store.get_run(parent).data.tags
    assert tags["dvc.experiment"] == "plush-flea"
    assert tags["dvc.experiment.tune_lr.epochs"] == "7"


def test_more_runs_than_mlflow_tells_of_in_one_call_are_not_made_twice(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Paged(MlflowClient):
        def search_runs(self, *arguments: Any, **more: Any) -> Any:
            return super().search_runs(*arguments, **more | {"max_results": 1})

    monkeypatch.setattr("mlflow.tracking.MlflowClient", Paged)
    for _ in range(2):
        publish()
    assert set(by_name(store)) == NAMES


def test_a_model_is_registered_as_it_was_though_another_run_has_retrained_it_since(
    store: MlflowClient,
) -> None:
    kept, folder = kept_of(pipeline()), Path("models/stem/as_published")
    folder.mkdir(parents=True)
    (folder / "classes.json").write_text('["a", "b"]')
    (folder / "weights").write_text("of then")
    Path("stem.tflite").write_text("of then")
    kept.link(folder, "models/as_published")
    kept.link(Path("stem.tflite"), "exports/stem.tflite")
    model = Registered(name="as_published", alias="stem", digest="d1", description="good")
    exports = {"as_published": {"stem.tflite": "m1"}}
    kept.conclude(outcome().model_copy(update={"registered": [model], "exports": exports}))
    # The server is down, and another run comes.
    shutil.rmtree(folder)
    Path("stem.tflite").unlink()
    Publisher().show(kept)
    version = store.get_model_version_by_alias("stemtune", "stem")
    assert (version.tags["dvc.md5"], version.description) == ("d1", "good")
    place = mlflow.artifacts.download_artifacts("models:/stemtune@stem/artifacts/as_published")
    assert (Path(place) / "weights").read_text() == "of then"
    export = mlflow.artifacts.download_artifacts(version.tags["stemtune.exports"])
    assert Path(export).read_text() == "of then"

    # Who deletes the files of an export finds them again after the next run.
    Path(export).unlink()
    Path("stem.tflite").write_text("of then")
    again = kept_of(pipeline("again"))
    again.link(Path("stem.tflite"), "exports/stem.tflite")
    again.conclude(outcome().model_copy(update={"exports": exports}))
    Publisher().show(again)
    assert Path(mlflow.artifacts.download_artifacts(version.tags["stemtune.exports"])).exists()


def test_a_clock_that_was_set_back_makes_no_time_negative(store: MlflowClient) -> None:
    tuned = records()[0].model_copy(update={"seconds": -5.0})
    Publisher().show(kept_of(pipeline(), [tuned], over=False))
    shown = by_name(store)["tune_lr"]
    assert shown.data.metrics["seconds"] == 0
    assert shown.info.end_time == shown.info.start_time


def test_a_metric_that_is_no_number_costs_nothing_but_itself(store: MlflowClient) -> None:
    tuned = records()[0]
    tuned.metrics = {"loss": float("nan"), "accuracy": 0.5}
    kept = kept_of(pipeline(), [tuned], over=False)
    Publisher().show(kept)
    shown = by_name(store)["tune_lr"].data.metrics
    assert shown["accuracy"] == 0.5
    assert "loss" not in shown


def test_a_setting_that_is_misspelt_is_shown_under_a_name_that_mlflow_takes(
    store: MlflowClient,
) -> None:
    changed = {"add_stem.variants.7x7+bn.head": "frozen_small"}
    parent = publish(pipeline(changed=changed))
    assert store.get_run(parent).data.params["add_stem.variants.7x7_bn.head"] == "frozen_small"
