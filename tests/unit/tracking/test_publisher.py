"""What MLflow shows of a pipeline run, in a real store, however publishing goes."""

import multiprocessing
import os
import shutil
import signal
import threading
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

from stemtune.core import processes
from stemtune.core.pipeline_run import Pipeline
from stemtune.core.records import Epoch, Record
from stemtune.tracking import client, publisher, publishing, unique_runs
from stemtune.tracking.client import Client
from stemtune.tracking.live import Live
from stemtune.tracking.outbox import Outbox, Outcome, Registered, Shown, alone, pending
from stemtune.tracking.pipeline import Lock

STARTED = time.time() - 100
KEYS = {"tune_lr": "k1", "train_best": "k2", "evaluate": "k3"}
DIGEST = "0123456789abcdef0123456789abcdef.dir"
NAMES = {"pipeline", *KEYS, "trial 1", "stem, as_published"}


def pipeline(key: str = "one", **more: Any) -> Pipeline:
    given: dict[str, Any] = {
        "commit": "c0ffee",
        "dirty": True,
        "process": os.getpid(),
        "process_started": 0.0,
    }
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
    cached.children, cached.environment = [trial], {"cpu": "abacus"}
    fresh = Record(name="train_best", started=STARTED + 5, seconds=3, epochs=epochs, **done)
    model = Record(name="as_published", started=STARTED + 9, metrics={"ms_per_frame": 2.5}, **done)
    last = Record(name="evaluate", started=STARTED + 9, seconds=2, children=[model], **done)
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
            "as_published": Shown(
                title="stem, as_published", metrics={"train_seconds": 9.0}, description="read"
            )
        },
        registered=[],
    )


def outbox(run: Pipeline, kept: list[Record] | None = None, over: bool = True) -> Outbox:
    """Returns the outbox of a pipeline run with an artifact for each stage and the whole."""
    found = Outbox.open(run)
    Path("report.html").write_text("<p>report</p>")
    for record in kept or records():
        found.keep(record)
        found.attach(record.name, [Path("report.html")])
    found.attach("", [Path("report.html")])
    if over:
        found.conclude(outcome())
    return found


def begin_and_end(kept: Outbox, stage: str) -> None:
    """Begins a stage in a process that is no more."""
    # Which deletes what an attempt before left.
    kept_before = {path: path.read_text() for path in kept.stages.glob(f"{stage}.json")}
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(kept.begin, (stage,))
    for path, content in kept_before.items():
        path.write_text(content)


def publish(run: Pipeline | None = None) -> str:
    run = run or pipeline()
    return publisher.Publisher(Client(60), run).publish(outbox(run))


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
        run.data.tags[unique_runs.KEY]: (
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


def test_who_only_connects_writes_nothing(store: MlflowClient) -> None:
    publisher.Publisher(Client(60), pipeline())
    Live(Client(60), pipeline())
    assert store.get_experiment_by_name("stemtune") is None


def test_a_cached_stage_shows_its_own_times_and_where_it_was_computed(
    store: MlflowClient,
) -> None:
    before = pipeline("before").model_copy(update={"started": STARTED - 70})
    publisher.Publisher(Client(60), before).publish(outbox(before, records()[:1], over=False))
    [computed] = [run for run in runs(store) if run.info.run_name == "tune_lr"]
    assert computed.data.tags["cached"] == "false"

    parent = publish()
    shown = {
        run.info.run_name: run
        for run in runs(store)
        if run.data.tags[unique_runs.PIPELINE] == "one" and run.info.run_id != parent
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
    shown = Live(Client(60), run)
    for record in kept[1:]:
        begun = record.model_copy(deep=True, update={"status": "running", "metrics": {}})
        begun.epochs, begun.seconds = record.epochs[:1], 0.0
        shown.begin_stage(begun)
        child = by_name(store)[record.name]
        assert child.info.status == "RUNNING"
        assert by_name(store)["pipeline"].info.status == "RUNNING"
        losses = store.get_metric_history(child.info.run_id, "train_loss")
        assert [point.step for point in losses] == [epoch.epoch for epoch in begun.epochs]
        begun.epochs = record.epochs
        shown.show(begun)
        shown.end_stage(record)
        assert by_name(store)[record.name].info.status == "FINISHED"
        assert by_name(store)["pipeline"].info.status == "FINISHED"
    publish(run)
    at_once = new_store(tmp_path / "at once", empty_store, monkeypatch)
    publish(run)
    assert everything(store) == everything(at_once)


def test_a_stage_that_failed_and_one_that_was_killed(store: MlflowClient) -> None:
    done, failed, killed = records()
    evil = "```\n<b>bold</b> ````"
    failed.status, failed.error = "failed", f"Traceback {evil}\nValueError: no such weights"
    killed.status = "running"
    run = pipeline()
    kept = outbox(run, [done, failed, killed], over=False)
    begin_and_end(kept, "evaluate")
    publisher.Publisher(Client(60), run).publish(kept)
    shown = by_name(store)
    assert shown["tune_lr"].info.status == "FINISHED"
    assert shown["train_best"].info.status == "FAILED"
    assert shown["train_best"].data.tags["error"] == "ValueError: no such weights"
    note = MarkdownIt().parse(shown["train_best"].data.tags["mlflow.note.content"])
    assert [(token.type, token.content) for token in note] == [("fence", f"{failed.error}\n")]
    assert shown["evaluate"].info.status == "FAILED"
    assert shown["pipeline"].info.status == "FAILED"


def test_a_stage_killed_with_its_reporter_leaves_no_run_going_on(store: MlflowClient) -> None:
    [tuned, *_] = records()
    run = pipeline()
    kept = Outbox.open(run)
    begin_and_end(kept, "tune_lr")
    for record in (tuned, *tuned.children):
        record.status = "running"
    kept.keep(tuned)
    # It was killed in the middle of the next.
    (kept.stages / ".1.tune_lr.json").write_text('{"name": "tune')
    Live(Client(60), run).begin_stage(tuned)
    assert {shown.info.status for shown in runs(store)} == {"RUNNING"}

    publisher.Publisher(Client(60), run).publish(kept)
    shown = by_name(store)
    assert set(shown) == {"pipeline", "tune_lr", "trial 1"}
    assert {one.info.status for one in shown.values()} == {"FAILED"}
    assert "without a word" in shown["tune_lr"].data.tags["mlflow.note.content"]
    assert all(one.info.end_time >= one.info.start_time for one in shown.values())


def test_a_stage_that_fails_takes_the_parts_along_that_were_going_on(store: MlflowClient) -> None:
    tuned = records()[0]
    done = Record(name="trial 0", started=STARTED - 55, status="finished")
    tuned.status = tuned.children[0].status = "running"
    tuned.children.append(done)
    shown = Live(Client(60), pipeline())
    shown.begin_stage(tuned)
    tuned.fail("no such rate", time.time())
    shown.end_stage(tuned)
    states = {name: shown.info.status for name, shown in by_name(store).items()}
    failed = dict.fromkeys(("pipeline", "tune_lr", "trial 1"), "FAILED")
    assert states == failed | {"trial 0": "FINISHED"}


def test_an_outbox_that_was_closed_in_part_is_not_pending(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(_: Path) -> None:
        raise _Killed

    kept = outbox(pipeline())
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", cut_off)
        with pytest.raises(_Killed):
            kept.close()
    assert list(pending()) == []
    outbox(pipeline("two")).close()
    assert {path.name for path in Path(".tracking").iterdir()} == {"last.json"}


def test_an_experiment_that_was_deleted_makes_way_for_a_new_one(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    publish()
    before = everything(store)
    before_deletion = store.get_experiment_by_name("stemtune")
    assert before_deletion
    deleted = before_deletion.experiment_id
    store.delete_experiment(deleted)
    publish(pipeline("two"))
    assert len(everything(store)) == len(NAMES)
    command = f"mlflow experiments restore --experiment-id {deleted}"
    assert command in capsys.readouterr().out
    now = store.get_experiment_by_name("stemtune")
    assert now
    assert command in now.tags["mlflow.note.content"]
    publish(pipeline("three"))
    assert capsys.readouterr().out == ""

    store.restore_experiment(deleted)
    assert len(store.search_runs([deleted])) == len(before)


def test_the_run_of_mlflow_run_becomes_the_parent(store: MlflowClient) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{Path.cwd()}/mlflow.db")
    experiment = store.create_experiment("of mlflow run")
    given = store.create_run(experiment).info.run_id
    going_on: dict[str, Any] = {"process_started": processes.started(psutil.Process())}
    assert publish(pipeline(given_run=given, **going_on)) == given
    # `mlflow run` itself ends it.
    assert store.get_run(given).info.status == "RUNNING"
    # Unless it was killed with all below it.
    publish(pipeline(given_run=given))
    assert store.get_run(given).info.status == "FINISHED"
    store.set_terminated(given, "KILLED")
    publish(pipeline(given_run=given))
    assert store.get_run(given).info.status == "KILLED"
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
    publisher.Publisher(Client(60), pipeline()).publish(Outbox.open(pipeline()))


def test_publishers_at_once_leave_one_run_per_key(store: MlflowClient) -> None:
    # The store exists: who makes its tables is not what is asked here.
    publish(pipeline("before"))
    outbox(pipeline())
    spawned = multiprocessing.get_context("spawn")
    barrier = spawned.Barrier(3)
    publishers = [spawned.Process(target=_publish_at, args=(barrier,)) for _ in range(3)]
    for process in publishers:
        process.start()
    for process in publishers:
        process.join()
    assert [process.exitcode for process in publishers] == [0, 0, 0]
    found = [run for run in runs(store) if run.data.tags[unique_runs.PIPELINE] == "one"]
    assert Counter(run.info.run_name for run in found) == dict.fromkeys(NAMES, 1)
    assert all(run.info.status == "FINISHED" for run in found)


def test_a_run_that_its_publisher_saw_alone_is_taken_by_one_that_made_its_own_too_late(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unique_runs, "PAUSE_SECONDS", (0.0, 0.0))
    experiment = store.create_experiment("stemtune")
    key = {unique_runs.KEY: "k", unique_runs.PIPELINE: "one"}
    looks, other = 0, ""

    class Late(MlflowClient):
        def create_run(self, *arguments: Any, **more: Any) -> Run:
            nonlocal other
            other = store.create_run(experiment, 2000, key).info.run_id
            return super().create_run(*arguments, **more)

        def search_runs(self, *arguments: Any, **more: Any) -> Any:
            nonlocal looks
            looks += 1
            if looks == 4:
                store.set_tag(other, unique_runs.CONTENT, "not yet")
            return super().search_runs(*arguments, **more)

    claims = unique_runs.UniqueRuns(Late(store.tracking_uri), experiment, "one")
    assert claims.claim([unique_runs.Child("k", "name", "", 1.0)]) == [other]
    assert [run.info.run_id for run in store.search_runs([experiment])] == [other]


class _Killed(BaseException):
    pass


def test_a_publisher_that_is_cut_off_anywhere_leaves_nothing_double(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unique_runs, "PAUSE_SECONDS", (0.0, 0.0))
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

    monkeypatch.setattr(client, "MlflowClient", Counted)
    cut_off = 0
    for number in range(1, 200, 2):
        run, calls = pipeline(f"cut {number}"), number
        kept = outbox(run)
        try:
            publisher.Publisher(Client(60), run).publish(kept)
        except _Killed:
            cut_off += 1
        else:
            break
        publisher.Publisher(Client(60), run).publish(kept)
        left = [one for one in runs(store) if one.data.tags[unique_runs.PIPELINE] == run.key]
        assert Counter(one.info.run_name for one in left) == dict.fromkeys(NAMES, 1)
        assert all(one.info.status == "FINISHED" for one in left)
    assert cut_off > 20


def test_a_slow_server_is_given_up_in_time(store: MlflowClient) -> None:
    publish(pipeline("before"))
    with pytest.raises(TimeoutError, match=r"track\.timeout_seconds, 0 s"):
        publisher.Publisher(Client(0), pipeline()).publish(outbox(pipeline()))


def test_artifacts_that_cannot_be_stored_are_named_and_stored_later(
    store: MlflowClient,
) -> None:
    run = pipeline()
    kept = outbox(run)
    shown = publisher.Publisher(Client(60), run)
    # Where artifacts go there is a file, whoever runs this.
    Path("mlruns").write_text("in the way")
    with pytest.raises(publisher.Incomplete, match=r"artifacts of the pipeline run .*tune_lr"):
        shown.publish(kept)
    assert by_name(store)["tune_lr"].data.metrics["estimated_wh"] == 0.5
    Path("mlruns").unlink()
    publish(run)
    for found in by_name(store).values():
        if found.info.run_name in {"pipeline", *KEYS}:
            assert store.list_artifacts(found.info.run_id)


def _killed_after(calls: int) -> None:
    class Counted(MlflowClient):
        def log_batch(self, *arguments: Any, **more: Any) -> None:
            nonlocal calls
            calls -= 1
            if calls == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            super().log_batch(*arguments, **more)

    client.MlflowClient = Counted  # type: ignore[misc]
    publisher.Publisher(Client(60), pipeline()).publish(Outbox.open(pipeline()))


def test_a_publisher_that_is_killed_leaves_its_outbox(store: MlflowClient) -> None:
    outbox(pipeline())
    process = multiprocessing.get_context("spawn").Process(target=_killed_after, args=(4,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    [waiting] = pending()
    publisher.Publisher(Client(60), waiting.pipeline()).publish(waiting)
    assert set(by_name(store)) == NAMES


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
    monkeypatch.setattr(client, "MlflowClient", Slow)
    kept, attempts, done = outbox(pipeline()), 0, ""
    while not done and attempts < 20:
        attempts, left = attempts + 1, 12
        with suppress(TimeoutError, publisher.Incomplete):
            done = publisher.Publisher(Client(60), pipeline()).publish(kept)
    assert done
    assert attempts > 1
    found = [run for run in runs(store) if run.data.tags[unique_runs.PIPELINE] == "one"]
    assert all(run.info.status == "FINISHED" for run in found)


def test_more_runs_than_mlflow_tells_of_in_one_call_are_not_made_twice(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Paged(MlflowClient):
        def search_runs(self, *arguments: Any, **more: Any) -> Any:
            return super().search_runs(*arguments, **more | {"max_results": 1})

    monkeypatch.setattr(client, "MlflowClient", Paged)
    kept = outbox(pipeline())
    for _ in range(2):
        publisher.Publisher(Client(60), pipeline()).publish(kept)
    assert set(by_name(store)) == NAMES


@pytest.mark.parametrize("present", [True, False])
def test_a_model_that_cannot_be_registered_is_named_and_one_that_is_gone_is_not_asked_for(
    store: MlflowClient, present: bool
) -> None:
    model = Registered(name="as_published", alias="stem", folder="nowhere", digest="d1")
    kept = outbox(pipeline())
    kept.conclude(outcome().model_copy(update={"registered": [model]}))
    published = publisher.Publisher(Client(60), pipeline())
    if present:
        with pytest.raises(publisher.Incomplete, match="model as_published .*nowhere"):
            published.publish(kept, ["d1"])
    else:
        published.publish(kept)
    assert {run.info.status for run in runs(store)} == {"FINISHED"}


def test_an_experiment_that_another_made_just_now_is_taken(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Late(MlflowClient):
        def create_experiment(self, name: str, *arguments: Any, **more: Any) -> str:
            store.create_experiment(name)
            return super().create_experiment(name, *arguments, **more)

    monkeypatch.setattr(client, "MlflowClient", Late)
    publish()
    assert len(runs(store)) == len(NAMES)


def test_what_goes_on_is_published_by_no_other(store: MlflowClient) -> None:
    this = {"process_started": processes.started(psutil.Process())}
    going_on = outbox(pipeline("going on", **this), records()[:1], over=False)
    orphan = outbox(pipeline("orphan"), records()[:1], over=False)
    orphan.begin("tune_lr")
    over = outbox(pipeline("over"), records()[:1], over=False)
    publishing.publish_waiting(60, [])
    assert {kept.folder for kept in pending()} == {going_on.folder, orphan.folder}
    assert not over.folder.exists()


def test_of_publishers_of_a_project_one_waits_for_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = []

    def publish() -> None:
        with alone():
            done.append("second")

    second = threading.Thread(target=publish)
    with alone():
        second.start()
        second.join(0.5)
        done.append("first")
    second.join()
    assert done == ["first", "second"]
