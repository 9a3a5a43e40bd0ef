"""What MLflow shows of a pipeline run, in a real store, however publishing goes."""

import errno
import os
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlflow
import psutil
import pytest
from markdown_it import MarkdownIt
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from stemtune.core import files
from stemtune.core.errors import InputError
from stemtune.core.records import Epoch, Record
from stemtune.tracking import experiment, outbox, publishing, runs, service
from stemtune.tracking import store as storing
from stemtune.tracking.outbox import Data, Outbox, Outcome, Registered, pending
from stemtune.tracking.pipeline_run import PipelineRun
from stemtune.tracking.process import Process
from stemtune.tracking.publisher import Incomplete, Publisher
from tests.support.project import ROOT

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


@pytest.fixture
def store(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MlflowClient]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    yield new_store(tmp_path, empty_store, monkeypatch)
    mlflow.set_tracking_uri("")


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


def test_an_outbox_that_was_closed_in_part_is_not_pending(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(_: Path) -> None:
        raise _Killed

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", cut_off)
        with pytest.raises(_Killed):
            publish()
    assert list(pending()) == []
    publish(pipeline("two"))
    assert {path.name for path in Path(".tracking").iterdir()} == {"shown"}


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


PUBLISHER = [sys.executable, "-m", "stemtune.tracking.publisher"]


def test_of_publishers_that_start_at_once_one_is_at_work(store: MlflowClient) -> None:
    kept = kept_of(pipeline())
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    started = [subprocess.Popen(PUBLISHER, env=environment) for _ in range(3)]
    while kept.folder.exists():
        assert any(one.poll() is None for one in started)
        time.sleep(0.05)
    # Others leave; this one waits for more.
    while sum(one.poll() is None for one in started) > 1:
        time.sleep(0.05)
    service.end(Path(".tracking"))
    assert all(one.wait(60) is not None for one in started)
    assert Counter(run.info.run_name for run in runs_of(store)) == dict.fromkeys(NAMES, 1)
    assert all(run.info.status == "FINISHED" for run in runs_of(store))


def test_doubles_that_two_publishers_made_become_one(store: MlflowClient) -> None:
    experiment_id = store.create_experiment("stemtune")
    for _ in range(2):
        store.create_run(experiment_id, tags={runs.KEY: "one", runs.PIPELINE: "one"})
    publish()
    assert set(by_name(store)) == NAMES


def test_what_doubles_held_is_below_the_one_that_stays(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = pipeline(owner=this_process())
    kept = kept_of(run, over=False)
    begin_and_end(kept, records()[1].model_copy(update={"status": "running"}), this_process())
    with monkeypatch.context() as patched:
        # As two that began at once: neither finds the other's.
        patched.setattr(runs.Runs, "_load", lambda _: None)
        for _ in range(2):
            Publisher().show(kept)
    # Which of two stays depends on their ids, so here the parent of the other one goes.
    first, second = (run for run in runs_of(store) if run.info.run_name == "pipeline")
    store.delete_run(first.info.run_id)
    kept_of(pipeline())
    parent = Publisher().show(kept)
    assert parent == second.info.run_id
    shown = by_name(store)
    assert set(shown) == NAMES
    assert all(shown[name].data.tags["mlflow.parentRunId"] == parent for name in KEYS)


class _Killed(BaseException):
    pass


def test_a_publisher_that_is_cut_off_anywhere_leaves_nothing_double(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(pipeline("whole"))
    calls = 0

    class Counted(MlflowClient):
        def __getattribute__(self, name: str) -> Any:
            nonlocal calls
            if not name.startswith("_"):
                calls -= 1
                if calls == 0:
                    raise _Killed
            return super().__getattribute__(name)

    monkeypatch.setattr("mlflow.tracking.MlflowClient", Counted)
    cut_off = 0
    for number in range(1, 200, 2):
        run, calls = pipeline(f"cut {number}"), number
        kept = kept_of(run)
        kept.link(Path("report.html"), "exports/x.tflite")
        exports = {"as_published": {"x.tflite": f"of {number}"}}
        kept.conclude(outcome().model_copy(update={"exports": exports}))
        try:
            Publisher().show(kept)
        except _Killed:
            cut_off += 1
        else:
            break
        Publisher().show(kept)
        left = [one for one in runs_of(store) if one.data.tags[runs.PIPELINE] == run.key]
        assert Counter(one.info.run_name for one in left) == dict.fromkeys(NAMES, 1)
        assert all(one.info.status == "FINISHED" for one in left)
    assert cut_off > 20


def test_artifacts_that_cannot_be_stored_are_named_and_stored_later(
    store: MlflowClient,
) -> None:
    run = pipeline()
    kept = kept_of(run)
    # Where artifacts go there is a file, whoever runs this.
    Path("mlruns").write_text("in the way")
    with pytest.raises(Incomplete, match=r"artifacts of the pipeline run .*tune_lr"):
        Publisher().show(kept)
    assert by_name(store)["tune_lr"].data.metrics["estimated_wh"] == 0.5
    Path("mlruns").unlink()
    publish(run)
    for found in by_name(store).values():
        if found.info.run_name in {"pipeline", *KEYS}:
            assert store.list_artifacts(found.info.run_id)


def test_a_server_that_is_too_slow_for_all_at_once_is_told_all_in_the_end(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = 0

    class Slow(MlflowClient):
        def __getattribute__(self, name: str) -> Any:
            nonlocal left
            if name.startswith(("log", "set")):
                left -= 1
                if left < 0:
                    raise TimeoutError("out of time")
            return super().__getattribute__(name)

    publish(pipeline("before"))
    monkeypatch.setattr("mlflow.tracking.MlflowClient", Slow)
    kept, attempts, done = kept_of(pipeline()), 0, ""
    while not done and attempts < 20:
        attempts, left = attempts + 1, 12
        with suppress(TimeoutError, Incomplete):
            done = Publisher().show(kept)
    assert done
    assert attempts > 1
    found = [run for run in runs_of(store) if run.data.tags[runs.PIPELINE] == "one"]
    assert all(run.info.status == "FINISHED" for run in found)


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


def test_a_model_that_cannot_be_registered_is_named(store: MlflowClient) -> None:
    model = Registered(name="as_published", alias="stem", digest="d1")
    kept = kept_of(pipeline())
    kept.conclude(outcome().model_copy(update={"registered": [model]}))
    with pytest.raises(Incomplete, match=r"model as_published .*models/as_published"):
        Publisher().show(kept)
    assert {run.info.status for run in runs_of(store)} == {"FINISHED"}


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


def test_make_publish_shows_what_is_pending_without_a_workspace_and_changes_nothing_else(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(pipeline("whole"))
    before = everything(store)
    failed = records()[0]
    failed.fail("no such rate", time.time())
    kept_of(pipeline("failed"), [failed], over=False)
    with pytest.raises(SystemExit) as ended:
        publishing.main()
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "track: published pipeline in MLflow, parent run " in said
    after = everything(store)
    assert {key: after[key] for key in before} == before
    assert len(after) == len(before) + 3
    publishing.main()
    assert capsys.readouterr().out == "track: nothing is pending\n"
    assert everything(store) == after
    service.end(Path(".tracking"))


def test_make_publish_says_in_one_line_that_it_cannot_write(store: MlflowClient) -> None:
    kept_of(pipeline())
    # A test may be run by root, whom no permission stops.
    Path(".tracking/publisher.log").mkdir()
    with pytest.raises(InputError, match=r"\.tracking cannot be used \(IsADirectoryError"):
        publishing.main()


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


def test_what_goes_on_stays_pending(store: MlflowClient) -> None:
    going_on = kept_of(pipeline("going on", owner=this_process()), records()[:1], over=False)
    orphan = kept_of(pipeline("orphan"), records()[:1], over=False)
    begin_and_end(orphan, records()[0], this_process())
    over = kept_of(pipeline("over"), records()[:1], over=False)
    Publisher().look()
    assert {kept.folder for kept in pending()} == {going_on.folder, orphan.folder}
    assert not over.folder.exists()


def test_what_goes_on_is_shown_at_no_other_address(
    store: MlflowClient, tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = pipeline(owner=this_process(), store=storing.digest())
    kept = kept_of(run, records()[:1], over=False)
    Publisher().look()
    other = new_store(tmp_path / "other", empty_store, monkeypatch)
    assert Publisher().look()
    assert not runs_of(other)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    kept.describe(pipeline())
    Publisher().look()
    assert {shown.info.status for shown in runs_of(store)} == {"FINISHED"}


def test_a_clock_that_was_set_back_makes_no_time_negative(store: MlflowClient) -> None:
    tuned = records()[0].model_copy(update={"seconds": -5.0})
    Publisher().show(kept_of(pipeline(), [tuned], over=False))
    shown = by_name(store)["tune_lr"]
    assert shown.data.metrics["seconds"] == 0
    assert shown.info.end_time == shown.info.start_time


def test_a_run_of_another_machine_goes_on_as_long_as_it_says_so(store: MlflowClient) -> None:
    elsewhere = this_process().model_copy(update={"machine": "a container beside this host"})
    [tuned, *_] = records()
    tuned.status = "running"
    kept = kept_of(pipeline(owner=elsewhere), [tuned], over=False)
    begin_and_end(kept, tuned, elsewhere)
    kept.renew()
    Publisher().look()
    assert by_name(store)["tune_lr"].info.status == "RUNNING"
    assert kept.folder.exists()
    long_ago = time.time() - outbox.LEASE_SECONDS - 1
    os.utime(kept.folder / outbox.LEASE, (long_ago, long_ago))
    Publisher().look()
    assert by_name(store)["tune_lr"].info.status == "FAILED"
    assert not kept.folder.exists()


@pytest.mark.parametrize(
    "name", ["pipeline.json", "outcome.json", "stages/tune_lr.json", "begun/tune_lr.json"]
)
def test_an_outbox_that_cannot_be_read_is_put_aside_and_keeps_no_other_waiting(
    store: MlflowClient, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    torn = kept_of(pipeline("torn"), over=name == "outcome.json")
    # As after a power cut.
    (torn.folder / name).write_text("")
    whole = kept_of(pipeline("whole"))
    if name.startswith("begun"):
        # `make publish` looks at it first.
        assert [kept.folder for kept in publishing._over()] == [whole.folder]
    Publisher().look()
    assert set(by_name(store)) == NAMES
    assert list(pending()) == []
    assert Path(".tracking/unreadable/torn/report.html").parent.exists()
    said = capsys.readouterr().out
    assert f".tracking/torn/{name}" in said
    assert "MLflow does not show this pipeline run; its results are kept" in said
    assert "moved to .tracking/unreadable/torn" in said


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


def test_a_publisher_stays_as_long_as_a_stage_runs_though_server_and_disk_fail(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    kept = kept_of(pipeline(owner=this_process()), records()[:1], over=False)
    showing = Publisher()
    # The second time it waits before it tries again.
    assert [showing.look(), showing.look()] == [True, True]
    assert kept.problem(0)
    showing._retry.clear()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        assert showing.look()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_is_full_when_an_outbox_is_closed_puts_none_aside(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, write = kept_of(pipeline()), files.write_text

    def full(path: Path, text: str, durable: bool = False) -> None:
        if "shown" in str(path):
            with files.needing_room(path):
                raise OSError(errno.ENOSPC, "No space left on device")
        write(path, text, durable)

    monkeypatch.setattr(files, "write_text", full)
    Publisher().look()
    assert "No space left on device" in kept.problem(0)
    assert [each.folder for each in pending()] == [kept.folder]


def test_an_outbox_that_cannot_be_deleted_whole_comes_not_back(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(_: Path) -> None:
        raise OSError(errno.ENOTEMPTY, "Directory not empty", ".nfs0001")

    kept = kept_of(pipeline())
    monkeypatch.setattr(shutil, "rmtree", busy)
    Publisher().look()
    assert not kept.folder.exists()


def test_an_outbox_of_another_user_keeps_no_other_waiting(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, read = kept_of(pipeline("other")), Path.read_text

    def refuse(path: Path, *arguments: Any, **more: Any) -> str:
        if path == other.folder / "pipeline.json":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path, *arguments, **more)

    monkeypatch.setattr(Path, "read_text", refuse)
    publish(pipeline("mine"))
    Publisher().look()
    assert set(by_name(store)) == NAMES
    assert other.folder.exists()


def test_a_pipeline_run_without_a_stage_is_not_said_to_be_published(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = Outbox(Path(".tracking/empty"))
    kept.describe(pipeline("empty"))
    Publisher().look()
    assert not kept.folder.exists()
    service.wait([kept], 1)
    assert "published" not in capsys.readouterr().out
