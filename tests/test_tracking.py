"""What MLflow shows of a pipeline run, in a real store, however publishing goes."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from stemtune import claims, tracking
from stemtune.journal import Journal, Outcome, Shown, pending
from stemtune.pipeline import Lock, Pipeline
from stemtune.records import Epoch, Record
from tests.conftest import ROOT

STARTED = time.time() - 100
KEYS = {"tune_lr": "k1", "train_best": "k2", "evaluate": "k3"}
DIGEST = "0123456789abcdef0123456789abcdef.dir"
NAMES = {"pipeline", *KEYS, "trial 1", "stem, paper"}


def pipeline(key: str = "one", **more: Any) -> Pipeline:
    given = {"commit": "c0ffee", "dirty": True, "process": os.getpid(), "process_started": 0.0}
    return Pipeline(key=key, name="pipeline", started=STARTED, **given | more)


def records() -> list[Record]:
    epochs = [
        Epoch(epoch=k, time=STARTED - 40 + k, seconds=1.0, metrics={"train_loss": 1 / k})
        for k in (1, 2)
    ]
    done: dict[str, Any] = {"status": "finished"}
    trial = Record(name="trial 1", started=STARTED - 50, params={"learning_rate": 0.01}, **done)
    trial.epochs, trial.metrics = epochs, {"test_accuracy": 0.75}
    cached = Record(name="tune_lr", started=STARTED - 60, seconds=20, energy_wh=0.5, **done)
    cached.parts, cached.environment = [trial], {"cpu": "abacus"}
    fresh = Record(name="train_best", started=STARTED + 5, seconds=3, epochs=epochs, **done)
    model = Record(name="paper", started=STARTED + 9, metrics={"ms_per_frame": 2.5}, **done)
    last = Record(name="evaluate", started=STARTED + 9, seconds=2, parts=[model], **done)
    return [cached, fresh, last]


def outcome() -> Outcome:
    return Outcome(
        lock=Lock(digest="10c4", stage_keys=KEYS, outputs={}, data=DIGEST),
        environment={"threads": "2"},
        size=224,
        counts={"clips": 3},
        metrics={"paper_test_accuracy": 0.8},
        description="| a table |",
        models={
            "paper": Shown(title="stem, paper", metrics={"train_seconds": 9.0}, description="read")
        },
        registered=[],
    )


def journal(run: Pipeline, kept: list[Record] | None = None, over: bool = True) -> Journal:
    """Returns the journal of a pipeline run with an artifact for each stage and the whole."""
    found = Journal.open(run)
    Path("report.html").write_text("<p>report</p>")
    for record in kept or records():
        record.artifacts = ["report.html"]
        found.keep(record)
    found.attach("", [Path("report.html")])
    if over:
        found.conclude(outcome())
    return found


def publish(run: Pipeline | None = None) -> str:
    run = run or pipeline()
    return tracking.Publisher(run, 60).publish(journal(run))


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


def runs(store: MlflowClient) -> list[Run]:
    experiment = store.get_experiment_by_name("stemtune")
    return list(store.search_runs([experiment.experiment_id])) if experiment else []


def by_name(store: MlflowClient) -> dict[str, Run]:
    found = runs(store)
    named = {run.info.run_name: run for run in found}
    assert len(named) == len(found)
    return named


def everything(store: MlflowClient) -> dict[str, Any]:
    """All that the runs hold, each value of each metric too, by key."""
    return {
        run.data.tags[claims.KEY]: (
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
        for run in runs(store)
    }


def test_a_parent_and_a_child_per_stage_trial_and_model(store: MlflowClient) -> None:
    parent = publish()
    shown = by_name(store)
    assert set(shown) == NAMES
    assert all(run.info.status == "FINISHED" for run in shown.values())
    above = {name: run.data.tags.get("mlflow.parentRunId", "") for name, run in shown.items()}
    assert {name for name, run in above.items() if run == parent} == set(KEYS)
    assert above["trial 1"] == shown["tune_lr"].info.run_id
    assert above["stem, paper"] == shown["evaluate"].info.run_id

    top = store.get_run(parent)
    assert top.data.tags["mlflow.note.content"] == "| a table |"
    assert top.data.tags["git.commit"] == "c0ffee"
    assert top.data.tags["git.dirty"] == "true"
    assert top.data.tags["dvc.lock"] == "10c4"
    assert top.data.tags["threads"] == "2"
    assert top.data.metrics["paper_test_accuracy"] == 0.8
    [data] = [given.dataset for given in top.inputs.dataset_inputs]
    assert (data.digest, data.source_type) == (DIGEST, "dvc")
    assert "[-1, 224, 224, 3]" in data.schema
    for run in (top, shown["evaluate"]):
        assert [file.path for file in store.list_artifacts(run.info.run_id)] == ["report.html"]


def test_a_cached_stage_shows_its_own_times_and_where_it_was_computed(
    store: MlflowClient,
) -> None:
    before = pipeline("before").model_copy(update={"started": STARTED - 70})
    tracking.Publisher(before, 60).publish(journal(before, records()[:1], over=False))
    [computed] = [run for run in runs(store) if run.info.run_name == "tune_lr"]
    assert computed.data.tags["cached"] == "false"

    parent = publish()
    shown = {
        run.info.run_name: run
        for run in runs(store)
        if run.data.tags[claims.PIPELINE] == "one" and run.info.run_id != parent
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
    assert shown["stem, paper"].data.metrics["train_seconds"] == 9.0


def test_each_pipeline_run_is_shown_whole(store: MlflowClient) -> None:
    publish()
    publish(pipeline("two"))
    names = Counter(run.info.run_name for run in runs(store))
    assert names == dict.fromkeys(NAMES, 2)


def test_publishing_again_changes_nothing(store: MlflowClient) -> None:
    publish()
    before = everything(store)
    publish()
    assert everything(store) == before


def test_what_ran_live_becomes_what_is_published_at_once(
    store: MlflowClient, tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, kept = pipeline(), records()
    publisher = tracking.Publisher(run, 60)
    for record in kept[1:]:
        begun = record.model_copy(deep=True, update={"status": "running", "metrics": {}})
        begun.epochs, begun.seconds = record.epochs[:1], 0.0
        publisher.begin_stage(begun)
        child = by_name(store)[record.name]
        assert child.info.status == "RUNNING"
        assert by_name(store)["pipeline"].info.status == "RUNNING"
        losses = store.get_metric_history(child.info.run_id, "train_loss")
        assert [point.step for point in losses] == [epoch.epoch for epoch in begun.epochs]
        begun.epochs = record.epochs
        publisher.show(begun)
        publisher.end_stage(record)
        assert by_name(store)[record.name].info.status == "FINISHED"
        assert by_name(store)["pipeline"].info.status == "FINISHED"
    publish(run)
    at_once = new_store(tmp_path / "at once", empty_store, monkeypatch)
    publish(run)
    assert everything(store) == everything(at_once)


def test_a_stage_that_failed_and_one_that_was_killed(store: MlflowClient) -> None:
    done, failed, killed = records()
    failed.status, failed.error = "failed", "Traceback\nValueError: no such weights"
    killed.status = "running"
    run = pipeline()
    tracking.Publisher(run, 60).publish(journal(run, [done, failed, killed], over=False))
    shown = by_name(store)
    assert shown["tune_lr"].info.status == "FINISHED"
    assert shown["train_best"].info.status == "FAILED"
    assert shown["train_best"].data.tags["error"] == "ValueError: no such weights"
    assert "Traceback" in shown["train_best"].data.tags["mlflow.note.content"]
    assert shown["evaluate"].info.status == "FAILED"
    assert shown["pipeline"].info.status == "FAILED"


def test_the_run_of_mlflow_run_becomes_the_parent(store: MlflowClient) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{Path.cwd()}/mlflow.db")
    experiment = store.create_experiment("of mlflow run")
    given = store.create_run(experiment).info.run_id
    assert publish(pipeline(given_run=given)) == given
    # `mlflow run` itself ends it.
    assert store.get_run(given).info.status == "RUNNING"
    shown = {run.info.run_name: run for run in store.search_runs([experiment])}
    assert shown["tune_lr"].data.tags["mlflow.parentRunId"] == given


def test_settings_of_an_experiment_are_tags(store: MlflowClient) -> None:
    changed = {"tune_lr.epochs": "7"}
    parent = publish(pipeline(experiment="plush-flea", changed=changed))
    tags = store.get_run(parent).data.tags
    assert tags["dvc.experiment"] == "plush-flea"
    assert tags["dvc.experiment.tune_lr.epochs"] == "7"


def _publish_at(barrier: Any) -> None:
    barrier.wait()
    tracking.Publisher(pipeline(), 60).publish(Journal.open(pipeline()))


def test_publishers_at_once_leave_one_run_per_key(store: MlflowClient) -> None:
    # The store exists: who makes its tables is not what is asked here.
    publish(pipeline("before"))
    journal(pipeline())
    spawned = multiprocessing.get_context("spawn")
    barrier = spawned.Barrier(3)
    publishers = [spawned.Process(target=_publish_at, args=(barrier,)) for _ in range(3)]
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join()
    assert [publisher.exitcode for publisher in publishers] == [0, 0, 0]
    found = [run for run in runs(store) if run.data.tags[claims.PIPELINE] == "one"]
    assert Counter(run.info.run_name for run in found) == dict.fromkeys(NAMES, 1)
    assert all(run.info.status == "FINISHED" for run in found)


class _Killed(BaseException):
    pass


def test_a_publisher_that_is_cut_off_anywhere_leaves_nothing_double(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "PAUSE_SECONDS", (0.0, 0.0))
    publish(pipeline("whole"))
    calls = 0

    class Client(MlflowClient):
        def __getattribute__(self, name: str) -> Any:
            nonlocal calls
            if not name.startswith("_"):
                calls -= 1
                if calls == 0:
                    raise _Killed
            return super().__getattribute__(name)

    monkeypatch.setattr(tracking, "MlflowClient", Client)
    cut_off = 0
    for number in range(1, 200, 2):
        run, calls = pipeline(f"cut {number}"), number
        kept = journal(run)
        try:
            tracking.Publisher(run, 60).publish(kept)
        except _Killed:
            cut_off += 1
        else:
            break
        tracking.Publisher(run, 60).publish(kept)
        left = [one for one in runs(store) if one.data.tags[claims.PIPELINE] == run.key]
        assert Counter(one.info.run_name for one in left) == dict.fromkeys(NAMES, 1)
        assert all(one.info.status == "FINISHED" for one in left)
    assert cut_off > 20


def test_a_slow_server_is_given_up_in_time(store: MlflowClient) -> None:
    publish(pipeline("before"))
    with pytest.raises(TimeoutError, match=r"track\.seconds, 0 s"):
        tracking.Publisher(pipeline(), 0).publish(journal(pipeline()))


def test_artifacts_that_cannot_be_stored_are_named_and_stored_later(
    store: MlflowClient,
) -> None:
    run = pipeline()
    kept = journal(run)
    publisher = tracking.Publisher(run, 60)
    # Where artifacts go there is a file, whoever runs this.
    Path("mlruns").write_text("in the way")
    with pytest.raises(tracking.Incomplete, match=r"artifacts of the pipeline run .*tune_lr"):
        publisher.publish(kept)
    assert by_name(store)["tune_lr"].data.metrics["estimated_wh"] == 0.5
    Path("mlruns").unlink()
    publish(run)
    for shown in by_name(store).values():
        if shown.info.run_name in {"pipeline", *KEYS}:
            assert store.list_artifacts(shown.info.run_id)


def _killed_after(calls: int) -> None:
    class Client(MlflowClient):
        def log_batch(self, *arguments: Any, **more: Any) -> None:
            nonlocal calls
            calls -= 1
            if calls == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            super().log_batch(*arguments, **more)

    tracking.MlflowClient = Client  # type: ignore[misc]
    tracking.Publisher(pipeline(), 60).publish(Journal.open(pipeline()))


def test_a_publisher_that_is_killed_leaves_its_journal(store: MlflowClient) -> None:
    journal(pipeline())
    process = multiprocessing.get_context("spawn").Process(target=_killed_after, args=(4,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    [waiting] = pending()
    tracking.Publisher(waiting.pipeline(), 60).publish(waiting)
    assert set(by_name(store)) == NAMES


def test_a_stage_that_listens_to_its_reporter_no_more_is_shown_all_the_same(
    store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = [sys.executable, "-m", "stemtune.reporter", "tune_lr"]
    listening, saying = os.pipe()
    os.close(listening)
    reporter = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=saying)
    os.close(saying)
    assert reporter.wait(120) == 0
    assert by_name(store)["tune_lr"].info.status == "FAILED"
