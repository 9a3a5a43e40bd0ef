"""A stage that runs in this process, followed by no publisher; what goes wrong costs no stage."""

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import psutil
import pytest

from stemtune import run
from stemtune.core import dvc, errors, files
from stemtune.core.records import Record
from stemtune.tracking import service
from stemtune.tracking.outbox import Outbox
from stemtune.tracking.process import Process
from tests.support.project import ROOT


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a folder the place to run stages in, in this process."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    # What it would show is not looked at.
    monkeypatch.setattr(service, "start", lambda: None)


def set_enabled(value: object) -> None:
    """Sets whether runs are tracked, in params.yaml."""
    settings = files.read_yaml(Path("params.yaml"))
    settings["track"]["enabled"] = value
    Path("params.yaml").write_text(json.dumps(settings))


def test_a_stage_whose_dvc_was_killed_before_it_looked_does_not_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # How that is found out, test_dvc.py asks.
    monkeypatch.setattr(dvc, "is_orphan", lambda: True)
    with pytest.raises(errors.InputError, match="there is no `dvc` above this stage: it was kill"):
        run.run("tune_lr", lambda _: Path("ran").touch())
    assert not Path("ran").exists()


def test_a_stage_whose_dvc_is_killed_while_it_gets_ready_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    above, is_ended = subprocess.Popen(["sleep", "600"]), threading.Event()

    def owner(process: psutil.Process) -> psutil.Process:
        return psutil.Process(above.pid) if above.poll() is None else process

    def kill() -> None:
        above.kill()
        above.wait()

    monkeypatch.setattr(dvc, "owner", owner)
    monkeypatch.setattr(service, "start", kill)
    monkeypatch.setattr(os, "_exit", lambda _: is_ended.set())
    run.run("tune_lr", lambda _: [str(is_ended.wait(10))])
    assert is_ended.is_set()
    [record] = Outbox(next(Path(".tracking").iterdir())).records()
    assert record.error == run.ORPHANED


def test_a_stage_s_error_is_kept_without_passwords_and_escapes() -> None:
    def fail(record: Record) -> None:
        raise ValueError("\x1b[2J http://alice:s3cret@host")

    with pytest.raises(ValueError, match="alice"):
        run.run("tune_lr", fail)
    [record] = Outbox.current("").records()
    assert record.error.endswith("ValueError: \\x1b[2J http://***@host\n")


def test_a_stage_that_ends_while_it_is_looked_at_is_not_taken_for_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = Outbox.current("tune_lr by hand")
    record = Record.start("tune_lr")
    kept.begin(record)

    def end(_: Process) -> None:
        record.finish()
        kept.keep(record)

    monkeypatch.setattr(Process, "find", end)
    [seen] = kept.records()
    assert seen.status == "finished"


def test_a_stage_that_is_not_tracked_leaves_nothing() -> None:
    set_enabled(False)
    run.run("tune_lr", lambda _: Path("ran").touch())
    assert Path("ran").exists()
    assert Path("records/tune_lr.json").exists()
    assert not Path(".tracking").exists()


def test_a_place_that_cannot_be_written_costs_no_stage(capsys: pytest.CaptureFixture[str]) -> None:
    Path(".tracking").write_text("in the way")
    run.run("tune_lr", lambda record: record.metrics.update(loss=float("nan")))
    assert files.read_json(Path("records/tune_lr.json"))["metrics"] == {}
    said = capsys.readouterr().out
    assert said.count("track: WARNING: tune_lr is not followed in MLflow") == 1


def test_artifacts_that_cannot_be_kept_cost_no_stage(capsys: pytest.CaptureFixture[str]) -> None:
    def work(record: Record) -> None:
        record.artifacts = ["params.yaml"]
        [folder] = Path(".tracking").iterdir()
        (folder / "artifacts").write_text("in the way")

    run.run("tune_lr", work)
    assert "track: WARNING: tune_lr is not followed" in capsys.readouterr().out


def test_settings_that_are_wrong_are_shown_as_what_the_stage_failed_of() -> None:
    set_enabled("perhaps")
    with pytest.raises(errors.InputError, match=r"track\.enabled"):
        run.run("tune_lr", lambda _: Path("ran").touch())
    assert not Path("ran").exists()
    [record] = Outbox.current("").records()
    assert record.status == "failed"
    assert "track.enabled" in record.error
