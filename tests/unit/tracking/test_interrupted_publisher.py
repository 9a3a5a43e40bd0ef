"""Publishers that are cut off, refused, or two at once leave each run there once, and whole."""

import errno
import os
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from stemtune.core import files
from stemtune.tracking import runs, service
from stemtune.tracking.outbox import Registered, pending
from stemtune.tracking.publisher import Incomplete, Publisher
from tests.support.project import ROOT
from tests.support.shown_runs import (
    KEYS,
    NAMES,
    begin_and_end,
    by_name,
    kept_of,
    outcome,
    pipeline,
    publish,
    records,
    runs_of,
    this_process,
)

PUBLISHER = [sys.executable, "-m", "stemtune.tracking.publisher"]


class _Killed(BaseException):
    pass


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
    # A file in the place of the folder of artifacts stops every user, root too.
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


def test_a_model_that_cannot_be_registered_is_named(store: MlflowClient) -> None:
    model = Registered(name="as_published", alias="stem", digest="d1")
    kept = kept_of(pipeline())
    kept.conclude(outcome().model_copy(update={"registered": [model]}))
    with pytest.raises(Incomplete, match=r"model as_published .*models/as_published"):
        Publisher().show(kept)
    assert {run.info.status for run in runs_of(store)} == {"FINISHED"}


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
