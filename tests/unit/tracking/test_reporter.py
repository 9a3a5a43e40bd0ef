"""A stage in a real process, its reporter beside it, and what may happen to either."""

import fcntl
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

import mlflow
import psutil
import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from stemtune.core import files, pipeline_run, processes, records, stage
from stemtune.core.records import Record
from stemtune.core.stage_outbox import Begun, StageOutbox
from stemtune.tracking import outbox, pipeline, publishing, reporter
from stemtune.tracking.outbox import Outbox
from tests.support.project import ROOT

Seen = TypeVar("Seen")

# Runs `stage.run` for a name: it says that it began, waits for a file if one is named, and ends.
STAGE = """
import sys, time
from functools import partial
from pathlib import Path
from stemtune.core import stage
from stemtune.core.records import Record
def main():
    record = Record.start(name, {"rate": 0.1})
    record._announced = True
    Path("report.html").write_text("<p>report</p>")
    record.artifacts = ["report.html", *(["not yet made.csv"] if until == "never" else [])]
    record.announce()
    while until and not Path(until).exists():
        time.sleep(0.02)
    record.finish()
name, until = sys.argv[1:]
stage.run(name, main)
"""


class Place:
    """A folder with a store, in which a shell script named `dvc` runs stages."""

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
        (where / "dvc").write_text(f"stage={self.stage}\n{script}")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "DVC_"))}
        done = subprocess.Popen(
            ["sh", str(where / "dvc")],
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

    def reporters(self) -> list[psutil.Process]:
        return [
            process
            for process in psutil.process_iter()
            if "stemtune.tracking.reporter" in _command(process)
            and str(self.folder) in _command(process)
        ]

    def reporter(self) -> psutil.Process:
        """Returns the one reporter, once it has begun."""
        wait_for(lambda: [one for one in self.outboxes() if one.reporter()])
        [found] = self.reporters()
        return found

    def runs(self) -> dict[str, Run]:
        experiment = self.client.get_experiment_by_name("stemtune")
        found = self.client.search_runs([experiment.experiment_id]) if experiment else []
        return {run.info.run_name.partition(" ")[0]: run for run in found}

    def states(self) -> dict[str, str]:
        return {name: run.info.status for name, run in self.runs().items()}


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@pytest.fixture
def place(tmp_path: Path, empty_store: Path) -> Iterator[Place]:
    shutil.copy(empty_store, tmp_path)
    made = Place(tmp_path)
    yield made
    for started in made.started:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()
    for left in made.reporters():
        left.kill()


def wait_for(look: Callable[[], Seen]) -> Seen:
    """Returns what a function returns as soon as it is something."""
    until = time.monotonic() + 240
    while not (seen := look()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return seen


def ended(process: psutil.Process) -> None:
    wait_for(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


def ended_process() -> psutil.Process:
    process = subprocess.Popen(["sleep", "60"])
    found = psutil.Process(process.pid)
    process.kill()
    process.wait()
    return found


def test_the_stages_of_a_pipeline_run_have_one_reporter_which_ends_with_it(place: Place) -> None:
    dvc = place.dvc("$stage tune_lr go; $stage train_best on")
    reporter = place.reporter()
    wait_for(lambda: place.states() == {"pipeline": "RUNNING", "tune_lr": "RUNNING"})
    (place.folder / "go").touch()
    going_on = {"pipeline": "RUNNING", "tune_lr": "FINISHED", "train_best": "RUNNING"}
    wait_for(lambda: place.states() == going_on)
    assert place.reporters() == [reporter]
    (place.folder / "on").touch()
    said, _ = dvc.communicate()
    assert "WARNING" not in said
    ended(reporter)
    assert set(place.states().values()) == {"FINISHED"}
    [kept] = place.outboxes()
    assert (kept.artifacts("train_best") / "report.html").exists()


def test_stages_that_start_at_once_start_one_reporter_and_a_killed_one_is_replaced(
    place: Place,
) -> None:
    dvc = place.dvc("for name in a b c d; do $stage $name go & done; wait; $stage last on; exit 0")
    wait_for(lambda: len(list((place.folder / ".tracking").glob("*/stages/?.json"))) == 4)
    first = place.reporter()
    [kept] = place.outboxes()
    [before] = [kill for kill in kept.begun() if kill.stage == "a"]
    os.kill(before.process, signal.SIGKILL)
    first.kill()
    ended(first)
    (place.folder / "go").touch()
    wait_for(lambda: place.states().get("last") == "RUNNING")
    second = place.reporter()
    assert second != first
    (place.folder / "on").touch()
    assert dvc.wait() == 0
    ended(second)
    finished = dict.fromkeys(("b", "c", "d", "last"), "FINISHED")
    assert place.states() == finished | {"a": "FAILED", "pipeline": "FAILED"}
    assert "without a word" in place.runs()["a"].data.tags["mlflow.note.content"]


def test_a_stage_whose_dvc_was_killed_is_ended(place: Place) -> None:
    dvc = place.dvc("$stage tune_lr never; exit 0")
    reporter = place.reporter()
    [kept] = place.outboxes()
    [begun] = wait_for(kept.begun)
    wait_for((kept.stages / "tune_lr.json").exists)
    dvc.kill()
    ended(reporter)
    assert begun.find() is None
    assert place.states() == {"pipeline": "FAILED", "tune_lr": "FAILED"}
    assert "`dvc`, which ran the stage" in place.runs()["tune_lr"].data.tags["error"]


def test_a_stage_that_is_interrupted_is_shown_by_a_reporter_that_is_not(place: Place) -> None:
    dvc = place.dvc("$stage tune_lr never; exit 1")
    reporter = place.reporter()
    [kept] = place.outboxes()
    wait_for((kept.stages / "tune_lr.json").exists)
    # As Ctrl-C does.
    os.killpg(dvc.pid, signal.SIGINT)
    said, _ = dvc.communicate()
    ended(reporter)
    assert "WARNING" not in said
    assert place.states() == {"pipeline": "FAILED", "tune_lr": "FAILED"}
    assert place.runs()["tune_lr"].data.tags["error"] == "KeyboardInterrupt"


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
    wait_for(lambda: not place.reporters())
    assert place.states() == {"pipeline": "FINISHED", "tune_lr": "FINISHED"}
    [kept] = place.outboxes()
    assert [path.name for path in kept.artifacts("tune_lr").iterdir()] == ["report.html"]


def test_a_server_that_never_answers_delays_no_stage_and_its_reporter_is_ended(
    place: Place,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        place.environment |= {
            "MLFLOW_TRACKING_URI": address,
            "MLFLOW_HTTP_REQUEST_TIMEOUT": "3600",
        }
        assert place.dvc("$stage tune_lr ''; exit 0").wait() == 0
        place.reporter()
        # It called, and waits.
        server.accept()
        outbox.end_reporters(place.folder)
        assert place.reporters() == []


def test_a_password_in_an_address_is_in_no_log_and_no_warning(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place.environment |= {"MLFLOW_TRACKING_URI": "http://alice:s3cret@127.0.0.1:1"}
    assert place.dvc("$stage tune_lr ''; exit 0").wait() == 0
    [kept] = place.outboxes()
    wait_for(lambda: "not shown in MLflow now" in kept.log.read_text())
    assert "s3cret" not in kept.log.read_text()
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place.environment["MLFLOW_TRACKING_URI"])
    publishing.publish_waiting(60, ())
    mlflow.set_tracking_uri("")
    told = "".join(capsys.readouterr())
    assert "is not, or not all, in MLflow (http://***@127.0.0.1:1)" in told
    assert "s3cret" not in told


def test_what_a_stage_failed_of_is_kept_without_passwords_and_escapes(tmp_path: Path) -> None:
    with records.shown_in(tmp_path):
        stage._fail("tune_lr", tmp_path, ValueError("\x1b[2J http://alice:s3cret@host"))
    error = records.read(tmp_path / "tune_lr.json").error
    assert error.endswith("ValueError: \\x1b[2J http://***@host\n")


def test_a_reporter_that_waits_for_an_answer_ends_in_the_end(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.folder)
    over = pipeline_run.describe(psutil.Process(), "over")
    kept = Outbox.open(over.model_copy(update={"process_started": 0.0}))
    kept.begin("tune_lr")
    kept.keep(Record.start("tune_lr", {}))
    short = (
        "import sys; from pathlib import Path; from stemtune.tracking import reporter;"
        "reporter.LINGER_SECONDS = 1; reporter.end_orphans = lambda _: None;"
        "reporter.main(Path(sys.argv[1]))"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        named = {"MLFLOW_TRACKING_URI": address, "MLFLOW_HTTP_REQUEST_TIMEOUT": "3600"}
        command = [sys.executable, "-c", short, str(kept.folder)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)} | named
        waiting = subprocess.run(command, env=environment, check=False)
    assert waiting.returncode == -signal.SIGALRM


def test_what_mlflow_was_not_told_is_told_when_it_answers_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place.folder}/mlflow.db")
    kept = Outbox.current("tune_lr by hand")
    kept.begin("tune_lr")
    record = Record.start("tune_lr", {})
    record.finish()
    kept.keep(record)
    showing = reporter.Reporter(kept)
    away = (place.folder / "mlflow.db").rename(place.folder / "away.db")
    (place.folder / "mlflow.db").mkdir()
    assert not showing.look()
    (place.folder / "mlflow.db").rmdir()
    away.rename(place.folder / "mlflow.db")
    # Not yet: one that is down may take long to say so.
    assert not showing.look()
    showing._not_before = 0.0
    assert showing.look()
    assert place.states()["tune_lr"] == "FINISHED"
    with monkeypatch.context() as patched:
        # Without news it reads nothing.
        patched.setattr(kept, "record", None)
        assert showing.look()


def test_a_stage_that_ends_while_it_is_looked_at_is_not_taken_for_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_hand(monkeypatch, tmp_path)
    kept = Outbox.current("tune_lr by hand")
    kept.begin("tune_lr")
    record = Record.start("tune_lr", {})
    kept.keep(record)

    def end(_: Begun) -> None:
        record.finish()
        kept.keep(record)

    monkeypatch.setattr(Begun, "find", end)
    [seen] = kept.records()
    assert seen.status == "finished"


def test_a_reporter_that_cannot_be_killed_keeps_no_one_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_hand(monkeypatch, tmp_path)
    monkeypatch.setattr(outbox, "PATIENCE_SECONDS", 0.1)
    kept = Outbox.current("tune_lr by hand")
    with kept.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept.end_reporter()
        assert kept.reporter() is None
        # Or it has just ended.
        monkeypatch.setattr(kept, "reporter", ended_process)
        kept.end_reporter()


def test_a_process_that_ended_is_no_dvc() -> None:
    assert not pipeline_run._is_dvc(ended_process())


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
    return folder


def test_a_stage_that_is_not_tracked_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_hand(monkeypatch, tmp_path, enabled=False)
    stage.run("tune_lr", lambda: Path("ran").touch())
    assert Path("ran").exists()
    assert not Path(".tracking").exists()


def test_a_file_system_that_locks_nothing_costs_what_is_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    by_hand(monkeypatch, tmp_path)
    monkeypatch.setattr(stage.fcntl, "flock", refuse)
    stage.run("tune_lr", lambda: Path("ran").touch())
    assert Path("ran").exists()
    said = capsys.readouterr().out
    assert "cannot be locked on this file system (No locks available)" in said
    assert "artifacts" not in said
    [path] = Path(".tracking").glob("*/pipeline.json")
    assert path.parent.joinpath("reporter.log").read_text() == ""
    outbox.end_reporters(tmp_path)


def test_artifacts_that_cannot_be_kept_cost_no_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    by_hand(monkeypatch, tmp_path)
    monkeypatch.setattr(stage, "_start_reporter", lambda *_: None)

    def main() -> None:
        record = Record.start("tune_lr", {})
        record._announced, record.artifacts = True, ["params.yaml"]
        record.finish()
        [folder] = Path(".tracking").iterdir()
        (folder / "artifacts").write_text("in the way")

    stage.run("tune_lr", main)
    assert "tune_lr: WARNING: not all artifacts are kept" in capsys.readouterr().out


def test_settings_that_are_wrong_are_shown_as_what_the_stage_failed_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stemtune.core import params

    by_hand(monkeypatch, tmp_path, enabled="perhaps")
    monkeypatch.setattr(stage, "_start_reporter", lambda *_: None)
    with pytest.raises(SystemExit, match=r"track\.enabled"):
        stage.run("tune_lr", lambda: print(params.load()))
    [record] = Outbox.current("").records()
    assert record.status == "failed"
    assert "track.enabled" in record.error


def test_a_process_is_known_by_its_start_however_the_clock_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    this = psutil.Process()
    start = processes.started(this)
    assert processes.find(this.pid, start) == this
    assert processes.find(this.pid, start + 1) is None
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: 1_000_000_000.0)
    assert processes.started(psutil.Process()) == start


def test_a_process_that_ended_and_is_not_waited_for_yet_is_at_work_no_more() -> None:
    process = subprocess.Popen(["true"])
    start = processes.started(psutil.Process(process.pid))
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert processes.find(process.pid, start) is None
    process.wait()
    assert processes.find(process.pid, start) is None


def test_a_run_of_mlflow_run_follows_the_dvc_that_is_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_hand(monkeypatch, tmp_path)
    monkeypatch.setenv("MLFLOW_RUN_ID", "given")
    now = pipeline_run.describe(psutil.Process(), "now")
    ended = now.model_copy(update={"process_started": 0.0, "name": "before"})
    kept = StageOutbox.open(ended)
    # What an attempt before left.
    record = Record.start("tune_lr", {})
    record.finish()
    kept.keep(record)
    again = Outbox.current("now")
    assert again.folder == kept.folder
    assert again.pipeline() == now
    again.begin("tune_lr")
    assert again.records() == []


def test_a_lock_that_dvc_is_writing_gives_no_stage_key(tmp_path: Path) -> None:
    record = Record.start("tune_lr", {})
    files.write_json(tmp_path / "records/tune_lr.json", record.model_dump())
    outs = {"path": "records/tune_lr.json", "md5": files.md5(tmp_path / "records/tune_lr.json")}
    entry = {"cmd": "python", "outs": [outs]}
    whole = json.dumps({"stages": {"tune_lr": entry}}, indent=1)
    for end in range(len(whole) - 2):
        (tmp_path / "dvc.lock").write_text(whole[:end])
        assert pipeline.key_of(record, tmp_path) == ""
    (tmp_path / "dvc.lock").write_text(whole)
    assert pipeline.key_of(record, tmp_path)
    shutil.rmtree(tmp_path)
    assert pipeline.key_of(record, tmp_path) == ""
