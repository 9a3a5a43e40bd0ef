"""Which pipeline runs are pending, and what `make publish` does with them."""

import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from stemtune.core.errors import InputError
from stemtune.tracking import outbox, publishing, service
from stemtune.tracking import store as storing
from stemtune.tracking.outbox import Outbox, pending
from stemtune.tracking.publisher import Publisher
from tests.support.shown_runs import (
    NAMES,
    begin_and_end,
    by_name,
    everything,
    kept_of,
    new_store,
    pipeline,
    publish,
    records,
    runs_of,
    this_process,
)


def test_make_publish_shows_what_is_pending_without_a_workspace_and_changes_nothing_else(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(pipeline("whole"))
    before = everything(store)
    # No variant of params.yaml, which is not there either.
    left_behind = Path("models/stem/tried_by_hand")
    left_behind.mkdir(parents=True)
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
    assert left_behind.exists()
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
