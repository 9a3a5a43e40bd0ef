"""A stage in a real process, the publisher beside it, and what may happen to either."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import psutil
import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from stemtune import run
from stemtune.core import dvc, errors, files, records
from stemtune.core.records import Record
from stemtune.tracking import outbox, pipeline_run, publisher, service
from stemtune.tracking.outbox import Outbox
from stemtune.tracking.process import Process
from stemtune.tracking.publisher import Publisher
from tests.support.project import ROOT

Seen = TypeVar("Seen")

# Runs `run.run` for a name: it says that it began, waits for a file if one is named, and ends.
STAGE = """
import sys, time
from pathlib import Path
from stemtune import run
from stemtune.core import errors
def work(record):
    Path("report.html").write_text("<p>report</p>")
    record.artifacts = ["report.html", *(["not yet made.csv"] if until == "never" else [])]
    with record.timed({"rate": 0.1}):
        while until and not Path(until).exists():
            time.sleep(0.02)
name, until = sys.argv[1:]
errors.run(name, lambda: run.run(name, work))
"""


class Place:
    """A folder with a store, in which a shell that is called `dvc` runs stages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
        self.environment = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
        self.started: list[subprocess.Popen[str]] = []
        shutil.copy(ROOT / "params.yaml", folder)
        (folder / "stage.py").write_text(STAGE)
        # Without blanks, which the interpreter's path may have.
        self.stage = folder / "stage"
        self.stage.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{folder}/stage.py" "$@"\n')
        self.stage.chmod(0o755)

    def dvc(self, script: str, folder: Path | None = None) -> subprocess.Popen[str]:
        """Runs a script in which `$stage NAME FILE` is a stage."""
        where = folder or self.folder
        # No function, or the shell that runs it in the background were a DVC of its own.
        (where / "script").write_text(f"stage={self.stage}\n{script}")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "DVC_"))}
        done = subprocess.Popen(
            ["dvc", str(where / "script")],
            executable=shutil.which("sh"),
            cwd=where,
            env=inherited | {"PYTHONPATH": str(ROOT)} | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # A shell's background jobs, such as tests may be one of, ignore it.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
        self.started.append(done)
        return done

    def outboxes(self) -> list[Outbox]:
        found = (self.folder / ".tracking").glob("*/pipeline.json")
        return [Outbox(path.parent) for path in found]

    def publishers(self) -> list[psutil.Process]:
        """Returns those that hold the lock, or are about to look for it."""
        return [one for one in psutil.process_iter() if self._is_publisher(one)]

    def publisher(self) -> psutil.Process:
        """Returns the publisher, once it has begun."""

        def look() -> psutil.Process | None:
            noted = service._noted(self.folder / ".tracking")
            return noted.process.find() if noted else None

        return wait_for(look)

    def _is_publisher(self, process: psutil.Process) -> bool:
        try:
            is_it = "stemtune.tracking.publisher" in process.cmdline()
            return is_it and process.cwd() == str(self.folder)
        except psutil.Error:
            return False

    def runs(self) -> dict[str, Run]:
        experiment = self.client.get_experiment_by_name("stemtune")
        found = self.client.search_runs([experiment.experiment_id]) if experiment else []
        return {run.info.run_name.partition(" ")[0]: run for run in found}

    def states(self) -> dict[str, str]:
        return {name: run.info.status for name, run in self.runs().items()}


@pytest.fixture
def place(tmp_path: Path, empty_store: Path) -> Iterator[Place]:
    shutil.copy(empty_store, tmp_path)
    made = Place(tmp_path)
    yield made
    for started in made.started:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()
    for left in made.publishers():
        left.kill()


def wait_for(look: Callable[[], Seen | None]) -> Seen:
    """Returns what a function returns as soon as it is something."""
    until = time.monotonic() + 240
    while not (seen := look()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return seen


def ended(process: psutil.Process) -> None:
    wait_for(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


def whole(place: Place) -> None:
    """Waits until nothing is pending."""
    wait_for(lambda: not place.outboxes())


def test_stages_are_followed_by_one_publisher_and_shown_whole_after_the_last(place: Place) -> None:
    dvc = place.dvc("$stage tune_lr go; $stage train_best on")
    publisher = place.publisher()
    wait_for(lambda: place.states() == {"pipeline": "RUNNING", "tune_lr": "RUNNING"})
    (place.folder / "go").touch()
    going_on = {"pipeline": "RUNNING", "tune_lr": "FINISHED", "train_best": "RUNNING"}
    wait_for(lambda: place.states() == going_on)
    assert place.publishers() == [publisher]
    (place.folder / "on").touch()
    said, _ = dvc.communicate()
    assert "WARNING" not in said
    whole(place)
    assert set(place.states().values()) == {"FINISHED"}
    run = place.runs()["train_best"].info.run_id
    assert [file.path for file in place.client.list_artifacts(run)] == ["report.html"]
    assert place.runs()["train_best"].data.params == {"rate": "0.1"}
    kept = records.read(place.folder / records.path_of("train_best"))
    assert place.runs()["train_best"].info.start_time == round(kept.started * 1000)


def test_stages_that_start_at_once_have_one_publisher_and_a_killed_one_is_replaced(
    place: Place,
) -> None:
    dvc = place.dvc("for name in a b c d; do $stage $name go & done; wait; $stage last on; exit 0")
    wait_for(lambda: len(list((place.folder / ".tracking").glob("*/begun/?.json"))) == 4)
    first = place.publisher()
    [kept] = place.outboxes()
    os.kill(kept.begun()["a"].number, signal.SIGKILL)
    first.kill()
    ended(first)
    (place.folder / "go").touch()
    wait_for(lambda: place.states().get("last") == "RUNNING")
    assert place.publisher() != first
    (place.folder / "on").touch()
    assert dvc.wait() == 0
    whole(place)
    finished = dict.fromkeys(("b", "c", "d", "last"), "FINISHED")
    assert place.states() == finished | {"a": "FAILED", "pipeline": "FAILED"}
    assert "without an error message" in place.runs()["a"].data.tags["mlflow.note.content"]


def test_a_stage_whose_dvc_was_killed_is_ended(place: Place) -> None:
    dvc = place.dvc("$stage tune_lr never; exit 0")
    [kept] = wait_for(place.outboxes)
    wait_for((place.folder / "report.html").exists)
    [process] = kept.begun().values()
    dvc.kill()
    whole(place)
    assert process.find() is None
    assert place.states() == {"pipeline": "FAILED", "tune_lr": "FAILED"}
    assert "`dvc`, which ran the stage" in place.runs()["tune_lr"].data.tags["error"]


def test_a_stage_whose_dvc_was_killed_before_it_looked_does_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_hand(monkeypatch, tmp_path)
    # How that is found out, test_dvc.py asks.
    monkeypatch.setattr(dvc, "is_orphan", lambda: True)
    with pytest.raises(errors.InputError, match="there is no `dvc` above this stage: it was kill"):
        run.run("tune_lr", lambda _: Path("ran").touch())
    assert not Path("ran").exists()


def test_a_stage_that_is_interrupted_is_shown_by_a_publisher_that_is_not(place: Place) -> None:
    dvc = place.dvc("$stage tune_lr never; exit 1")
    wait_for((place.folder / "report.html").exists)
    place.publisher()
    # As Ctrl-C does.
    os.killpg(dvc.pid, signal.SIGINT)
    said, _ = dvc.communicate()
    whole(place)
    assert "WARNING" not in said
    assert place.states() == {"pipeline": "FAILED", "tune_lr": "FAILED"}
    assert place.runs()["tune_lr"].data.tags["error"] == "interrupted"


def test_of_an_experiment_that_dvc_deletes_at_once_all_is_shown_in_the_project(
    place: Place,
) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=place.folder, check=True)
    copy = place.folder / ".dvc/tmp/exps/copy"
    copy.mkdir(parents=True)
    shutil.copy(ROOT / "params.yaml", copy)
    shutil.copytree(ROOT / "stemtune", copy / "stemtune")
    subprocess.run(["git", "init", "--quiet"], cwd=copy, check=True)
    place.environment |= {"DVC_ROOT": str(place.folder), "MLFLOW_TRACKING_URI": ""}
    assert place.dvc(f"$stage tune_lr ''; cd /; rm -r '{copy}'", copy).wait() == 0
    whole(place)
    assert place.states() == {"pipeline": "FINISHED", "tune_lr": "FINISHED"}
    run = place.runs()["tune_lr"].info.run_id
    assert [file.path for file in place.client.list_artifacts(run)] == ["report.html"]


def test_a_server_that_never_answers_delays_no_stage_and_its_publisher_is_ended(
    place: Place,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        place.environment |= {
            "MLFLOW_TRACKING_URI": address,
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "3600",
        }
        assert place.dvc("$stage tune_lr ''; exit 0").wait() == 0
        # It called, and waits.
        server.accept()
        publisher = place.publisher()
        service.end(place.folder / ".tracking")
        ended(publisher)
        assert place.outboxes()


def test_pipeline_runs_that_are_pending_have_one_limit_by_the_clock(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.folder)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.getsockname()[1]}")
        waiting = [over(place.folder, key) for key in ("one", "two", "three")]
        started = time.monotonic()
        reasons = service.wait(waiting, 2)
        assert time.monotonic() < started + 3
        assert reasons == [("over", "not within 2 s; the publisher goes on")] * 3
        # It does.
        assert place.publisher().is_running()


def test_a_publisher_that_ended_is_not_said_to_go_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.folder)
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    reasons = service.wait([over(place.folder, "one")], 1)
    ended = "not within 1 s; the publisher ended, and .tracking/publisher.log says why"
    assert reasons == [("over", ended)]


def over(folder: Path, key: str) -> Outbox:
    """Returns the outbox of a pipeline run that is over, with one stage."""
    owner = Process.of(psutil.Process()).model_copy(update={"started": 0.0})
    kept = Outbox(folder / ".tracking" / key)
    run = pipeline_run.current("over")
    kept.describe(run.model_copy(update={"key": key, "owner": owner}))
    record = Record.start("tune_lr")
    record.finish()
    files.write_json(kept.folder / "begun/tune_lr.json", owner.model_dump())
    kept.keep(record)
    return kept


def test_a_password_in_an_address_is_in_no_log_and_no_warning(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://alice:s3cret@127.0.0.1:1")
    service.warn(service.wait([over(place.folder, "one")], 240))
    log = (place.folder / ".tracking/publisher.log").read_text()
    assert "http://***@127.0.0.1:1" in log
    told = "".join(capsys.readouterr())
    assert "is not, or not all, in MLflow (http://***@127.0.0.1:1)" in told
    assert "s3cret" not in told + log


def test_a_stage_s_error_is_kept_without_passwords_and_escapes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(record: Record) -> None:
        raise ValueError("\x1b[2J http://alice:s3cret@host")

    by_hand(monkeypatch, tmp_path)
    with pytest.raises(ValueError, match="alice"):
        run.run("tune_lr", fail)
    [record] = Outbox.current("").records()
    assert record.error.endswith("ValueError: \\x1b[2J http://***@host\n")


def test_another_address_or_account_gets_a_publisher_of_its_own(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    kept = over(place.folder, "one")
    # Runs of one commit have one name.
    reasons = service.wait([kept, over(place.folder, "two")], 240)
    assert all("127.0.0.1" in reason for _, reason in reasons)
    assert len(reasons) == 2
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place.folder}/mlflow.db")
    assert service.wait([*outbox.pending()], 240) == []
    assert place.states() == {"over": "FINISHED", "tune_lr": "FINISHED"}


def test_what_mlflow_was_not_told_is_told_when_it_answers_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place.folder}/mlflow.db")
    kept, started = over(place.folder, "one"), time.time()
    showing = Publisher()
    away = (place.folder / "mlflow.db").rename(place.folder / "away.db")
    (place.folder / "mlflow.db").mkdir()
    showing.look()
    assert kept.problem(started)
    (place.folder / "mlflow.db").rmdir()
    away.rename(place.folder / "mlflow.db")
    # Not yet: one that is down may take long to say so.
    showing.look()
    assert kept.folder.exists()
    monkeypatch.setattr(publisher, "RETRY_SECONDS", 0)
    showing._retry.clear()
    showing.look()
    assert place.states()["tune_lr"] == "FINISHED"


def test_without_news_nothing_is_read_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place.folder}/mlflow.db")
    kept = over(place.folder, "one")
    this = kept.run().model_copy(update={"owner": Process.of(psutil.Process())})
    kept.describe(this)
    showing = Publisher()
    showing.look()
    monkeypatch.setattr(Outbox, "records", None)
    assert showing.look()
    assert place.states() == {"over": "RUNNING", "tune_lr": "FINISHED"}


def test_a_stage_that_ends_while_it_is_looked_at_is_not_taken_for_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_hand(monkeypatch, tmp_path)
    kept = Outbox.current("tune_lr by hand")
    record = Record.start("tune_lr")
    kept.begin(record)

    def end(_: Process) -> None:
        record.finish()
        kept.keep(record)

    monkeypatch.setattr(Process, "find", end)
    [seen] = kept.records()
    assert seen.status == "finished"


def by_hand(monkeypatch: pytest.MonkeyPatch, folder: Path, **track: object) -> Path:
    """Makes a folder the place to run stages in, in this process."""
    shutil.copy(ROOT / "params.yaml", folder)
    if track:
        settings = files.read_yaml(folder / "params.yaml")
        settings["track"] |= track
        (folder / "params.yaml").write_text(json.dumps(settings))
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    # What it would show is not looked at.
    monkeypatch.setattr(service, "start", lambda: None)
    return folder


def test_a_stage_that_is_not_tracked_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_hand(monkeypatch, tmp_path, enabled=False)
    run.run("tune_lr", lambda _: Path("ran").touch())
    assert Path("ran").exists()
    assert Path("records/tune_lr.json").exists()
    assert not Path(".tracking").exists()


def test_a_place_that_cannot_be_written_costs_no_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    by_hand(monkeypatch, tmp_path)
    Path(".tracking").write_text("in the way")
    run.run("tune_lr", lambda record: record.metrics.update(loss=float("nan")))
    assert files.read_json(Path("records/tune_lr.json"))["metrics"] == {}
    said = capsys.readouterr().out
    assert said.count("track: WARNING: tune_lr is not followed in MLflow") == 1


def test_artifacts_that_cannot_be_kept_cost_no_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(record: Record) -> None:
        record.artifacts = ["params.yaml"]
        [folder] = Path(".tracking").iterdir()
        (folder / "artifacts").write_text("in the way")

    by_hand(monkeypatch, tmp_path)
    run.run("tune_lr", work)
    assert "track: WARNING: tune_lr is not followed" in capsys.readouterr().out


def test_settings_that_are_wrong_are_shown_as_what_the_stage_failed_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_hand(monkeypatch, tmp_path, enabled="perhaps")
    with pytest.raises(errors.InputError, match=r"track\.enabled"):
        run.run("tune_lr", lambda _: Path("ran").touch())
    assert not Path("ran").exists()
    [record] = Outbox.current("").records()
    assert record.status == "failed"
    assert "track.enabled" in record.error
