"""Where runs go: below the run of `mlflow run`, and to which experiment."""

from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from stemtune.tracking import experiment, outbox, runs
from stemtune.tracking.outbox import pending
from stemtune.tracking.publisher import Publisher
from tests.support.shown_runs import (
    NAMES,
    STARTED,
    everything,
    here,
    kept_of,
    pipeline,
    publish,
    runs_of,
    this_process,
)


def test_an_experiment_that_was_deleted_makes_way_for_a_new_one(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    publish()
    before = everything(store)
    before_deletion = store.get_experiment_by_name("stemtune")
    assert before_deletion
    deleted = before_deletion.experiment_id
    store.delete_experiment(deleted)
    second = kept_of(pipeline("two"))
    Publisher().show(second)
    assert len(everything(store)) == len(NAMES)
    command = f"mlflow experiments restore --experiment-id {deleted}"
    shown = second.shown()
    assert shown
    assert command in shown.notes[-1]
    now = store.get_experiment_by_name("stemtune")
    assert now
    assert command in now.tags["mlflow.note.content"]
    third = kept_of(pipeline("three"))
    parent = Publisher().show(third)
    assert third.shown() == outbox.Shown(parent=parent)

    store.restore_experiment(deleted)
    assert len(store.search_runs([deleted])) == len(before)


def test_the_run_of_mlflow_run_becomes_the_parent(store: MlflowClient) -> None:
    experiment = store.create_experiment("of mlflow run")
    given = store.create_run(experiment).info.run_id
    # As `mlflow run -P` notes it, where DVC writes 1e-05.
    store.log_param(given, "ci.max_stem_gap", "0.00001")
    changed = {"ci.max_stem_gap": "1e-05"}
    first = pipeline(given_run=given, giver=this_process(), changed=changed)
    assert publish(first) == given
    # `mlflow run` itself ends it.
    assert store.get_run(given).info.status == "RUNNING"
    # Unless it was killed with all below it.
    ended = first.model_copy(update={"giver": here()})
    kept = kept_of(ended)
    for run in store.search_runs([experiment]):
        store.set_tag(run.info.run_id, runs.CONTENT, "not all")
    Publisher().show(kept)
    assert store.get_run(given).info.status == "FINISHED"
    shown = {run.info.run_name: run for run in store.search_runs([experiment])}
    assert shown["tune_lr"].data.tags["mlflow.parentRunId"] == given


def test_a_second_pipeline_run_below_one_mlflow_run_is_a_parent_of_its_own_there(
    store: MlflowClient,
) -> None:
    experiment = store.create_experiment("of mlflow run")
    given = store.create_run(experiment).info.run_id
    publish(pipeline(given_run=given, changed={"tune_lr.epochs": "3"}))
    second = publish(pipeline("two", given_run=given, changed={"tune_lr.epochs": "4"}))
    assert second != given
    shown = store.get_run(second)
    assert shown.data.tags["mlflow.parentRunId"] == given
    assert shown.data.params["tune_lr.epochs"] == "4"
    assert store.get_run(given).data.params["tune_lr.epochs"] == "3"


@pytest.mark.parametrize("is_deleted", [True, False])
def test_a_run_that_is_named_and_not_there_keeps_nothing_out_of_mlflow(
    store: MlflowClient, is_deleted: bool
) -> None:
    given = "0" * 32
    if is_deleted:
        given = store.create_run(store.create_experiment("other")).info.run_id
        store.delete_run(given)
    kept = kept_of(pipeline(given_run=given))
    parent = Publisher().show(kept)
    assert store.get_run(parent).info.run_name == "pipeline"
    shown = kept.shown()
    assert shown
    assert f"MLFLOW_RUN_ID is set to {given}, and there is no such run" in shown.notes[-1]
    assert list(pending()) == []


def test_a_run_that_had_ended_before_is_left_as_it_is(store: MlflowClient) -> None:
    given = store.create_run(store.create_experiment("mine")).info.run_id
    store.set_tag(given, "mlflow.note.content", "my own notes")
    store.set_terminated(given, end_time=round((STARTED - 1) * 1000))
    kept = kept_of(pipeline(given_run=given, giver=this_process()))
    assert Publisher().show(kept) != given
    assert store.get_run(given).data.tags["mlflow.note.content"] == "my own notes"
    shown = kept.shown()
    assert shown
    assert f"MLFLOW_RUN_ID is set to {given}, and it had ended before" in shown.notes[-1]


def test_runs_go_to_the_experiment_that_is_named(store: MlflowClient) -> None:
    publish(pipeline(mlflow_experiment="of my team"))
    found = store.get_experiment_by_name("of my team")
    assert found
    assert found.tags["mlflow.note.content"] == experiment.DESCRIPTION
    assert len(store.search_runs([found.experiment_id])) == len(NAMES)


def test_an_experiment_that_another_made_just_now_is_taken(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(MlflowClient):
        def create_experiment(self, name: str, *arguments: Any, **more: Any) -> str:
            store.create_experiment(name)
            return super().create_experiment(name, *arguments, **more)

    monkeypatch.setattr("mlflow.tracking.MlflowClient", Late)
    publish()
    assert len(runs_of(store)) == len(NAMES)
