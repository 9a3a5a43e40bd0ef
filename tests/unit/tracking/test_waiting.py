"""Pipeline runs that are pending: who shows them, how long that is waited for, what is said."""

import shutil
import socket
import sys
import time

import psutil
import pytest

from stemtune.core import files
from stemtune.core.records import Record
from stemtune.tracking import outbox, pipeline_run, publisher, service
from stemtune.tracking.outbox import Outbox
from stemtune.tracking.process import Process
from stemtune.tracking.publisher import Publisher
from tests.support.place import Place


def over(key: str) -> Outbox:
    """Returns the outbox of a pipeline run that is over, with one stage."""
    owner = Process.of(psutil.Process()).model_copy(update={"started": 0.0})
    kept = Outbox(outbox.root() / key)
    run = pipeline_run.current("over")
    kept.describe(run.model_copy(update={"key": key, "owner": owner}))
    record = Record.start("tune_lr")
    record.finish()
    files.write_json(kept.folder / "begun/tune_lr.json", owner.model_dump())
    kept.keep(record)
    return kept


def test_pipeline_runs_that_are_pending_have_one_limit_by_the_clock(
    inside: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.getsockname()[1]}")
        waiting = [over(key) for key in ("one", "two", "three")]
        started = time.monotonic()
        reasons = service.wait(waiting, 2)
        assert time.monotonic() < started + 3
        assert reasons == [("over", "not within 2 s; the publisher goes on")] * 3
        # It does.
        assert inside.publisher().is_running()


def test_a_publisher_that_ended_is_not_said_to_go_on(
    inside: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    reasons = service.wait([over("one")], 1)
    ended = "not within 1 s; the publisher ended, and .tracking/publisher.log says why"
    assert reasons == [("over", ended)]


def test_a_password_in_an_address_is_in_no_log_and_no_warning(
    inside: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://alice:s3cret@127.0.0.1:1")
    service.warn(service.wait([over("one")], 240))
    log = (inside.folder / ".tracking/publisher.log").read_text()
    assert "http://***@127.0.0.1:1" in log
    told = "".join(capsys.readouterr())
    assert "is not, or not all, in MLflow (http://***@127.0.0.1:1)" in told
    assert "s3cret" not in told + log


def test_another_address_or_account_gets_a_publisher_of_its_own(
    inside: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    kept = over("one")
    # Runs of one commit have one name.
    reasons = service.wait([kept, over("two")], 240)
    assert all("127.0.0.1" in reason for _, reason in reasons)
    assert len(reasons) == 2
    monkeypatch.setenv("MLFLOW_TRACKING_URI", inside.store)
    assert service.wait([*outbox.pending()], 240) == []
    assert inside.states() == {"over": "FINISHED", "tune_lr": "FINISHED"}


def test_what_mlflow_was_not_told_is_told_when_it_answers_again(
    inside: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, started = over("one"), time.time()
    showing = Publisher()
    away = (inside.folder / "mlflow.db").rename(inside.folder / "away.db")
    (inside.folder / "mlflow.db").mkdir()
    showing.look()
    assert kept.problem(started)
    (inside.folder / "mlflow.db").rmdir()
    away.rename(inside.folder / "mlflow.db")
    # Not yet: one that is down may take long to say so.
    showing.look()
    assert kept.folder.exists()
    monkeypatch.setattr(publisher, "RETRY_SECONDS", 0)
    showing._retry.clear()
    showing.look()
    assert inside.states()["tune_lr"] == "FINISHED"


def test_without_news_nothing_is_read_again(inside: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = over("one")
    this = kept.run().model_copy(update={"owner": Process.of(psutil.Process())})
    kept.describe(this)
    showing = Publisher()
    showing.look()
    monkeypatch.setattr(Outbox, "records", None)
    assert showing.look()
    assert inside.states() == {"over": "RUNNING", "tune_lr": "FINISHED"}
