"""Pipeline runs in a real MLflow server on PostgreSQL with artifacts in S3, and what goes wrong."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from stemtune.core.records import Epoch, Record
from stemtune.tracking.outbox import Outbox
from stemtune.tracking.publisher import Publisher
from tests.support import place, servers
from tests.support.mlflow_tree import assert_one_run_per_key, assert_whole, children, parents, runs
from tests.support.project import RECORDED
from tests.support.served_project import ARTIFACTS, Setting, serving

NOWHERE = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
# What `make publish` runs.
PUBLISH = ("python", "-m", "stemtune.tracking.publishing")
# With it, stages are children of DVC and have its file systems.
OWN_PROCESSES = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

pytestmark = [pytest.mark.slow, pytest.mark.postgresql]


@pytest.fixture(scope="module")
def setting(warm: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    with serving(tmp_path_factory.mktemp("servers"), warm) as made:
        yield made


def test_a_run_and_its_cached_repetition_show_all(setting: Setting) -> None:
    setting.repro()
    [first] = parents(setting.client)
    assert_whole(setting.client, setting.project.root, first, ran=set(RECORDED))
    setting.repro()
    second, _ = parents(setting.client)
    assert second.info.run_id != first.info.run_id
    assert_whole(setting.client, setting.project.root, second, ran=set())
    assert_one_run_per_key(setting.client)
    registered = setting.client.get_registered_model("stemtune")
    assert set(registered.aliases) == {"baseline", "stem"}
    assert len(setting.client.search_model_versions("name = 'stemtune'")) == 2
    assert setting.pending() == []


def test_publishing_by_hand_adds_nothing(setting: Setting) -> None:
    before = len(runs(setting.client))
    code, printed = setting.run(*PUBLISH)
    assert code == 0, printed
    # Or a line for each run.
    assert "View run" not in printed
    assert len(runs(setting.client)) == before


def stopped(setting: Setting) -> Iterator[dict[str, str]]:
    setting.server.stop()
    yield {}
    setting.server.start()


def paused(setting: Setting) -> Iterator[dict[str, str]]:
    setting.server.pause()
    yield {"MLFLOW_HTTP_REQUEST_TIMEOUT": "2"}
    setting.server.go_on()


def erroring(setting: Setting) -> Iterator[dict[str, str]]:
    setting.database.stop()
    yield {}
    setting.database.start()


def without_artifacts(setting: Setting) -> Iterator[dict[str, str]]:
    setting.bucket.pause()
    # Each file waits so long.
    yield {"MLFLOW_HTTP_REQUEST_TIMEOUT": "1", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    setting.bucket.go_on()


def slow(setting: Setting) -> Iterator[dict[str, str]]:
    setting.project.set_params(track={"timeout_seconds": 0.01})
    yield {}
    setting.project.set_params(track={"timeout_seconds": 300})


@pytest.mark.parametrize("fault", [stopped, paused, erroring, without_artifacts, slow])
def test_a_fault_of_the_server_costs_no_result_and_is_made_up_for(
    setting: Setting, fault: Callable[[Setting], Iterator[dict[str, str]]]
) -> None:
    before = parents(setting.client)
    going_wrong = fault(setting)
    printed = setting.repro(**next(going_wrong))
    assert "track: WARNING: pipeline" in printed
    assert "make publish" in printed
    assert "Report   file://" in printed
    # The publisher goes on behind: one that is only slow gets it done.
    assert len(setting.pending()) == 1 or fault == slow
    assert next(going_wrong, None) is None
    code, printed = setting.run(*PUBLISH)
    assert code == 0, printed
    assert "WARNING" not in printed
    assert setting.pending() == []
    after = parents(setting.client)
    assert len(after) == len(before) + 1
    assert_whole(setting.client, setting.project.root, setting.newest(), ran=set())
    assert_one_run_per_key(setting.client)


def test_a_wrong_password_costs_no_result_and_the_right_one_makes_up_for_it(
    setting: Setting, tmp_path: Path
) -> None:
    before = len(parents(setting.client))
    guarded = servers.mlflow_server(
        tmp_path, setting.database.uri, ARTIFACTS, True, **setting.where
    )
    with guarded as server:
        door = {"MLFLOW_TRACKING_URI": server.address, "MLFLOW_TRACKING_USERNAME": servers.USER}
        printed = setting.repro(**door, MLFLOW_TRACKING_PASSWORD="not it")  # noqa: S106
        assert "track: WARNING: pipeline" in printed
        assert len(parents(setting.client)) == before
        code, printed = setting.run(*PUBLISH, **door, MLFLOW_TRACKING_PASSWORD=servers.PASSWORD)
    assert code == 0, printed
    assert "WARNING" not in printed
    assert len(parents(setting.client)) == before + 1
    assert_whole(setting.client, setting.project.root, setting.newest(), ran=set())
    assert_one_run_per_key(setting.client)


def test_a_full_disk_costs_no_result_and_is_made_up_for(setting: Setting, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(store)
    client.search_experiments()
    (setting.project.root / "mlruns").mkdir()
    # A file system of its own, for this command alone.
    full = "mount -t tmpfs -o size=64k none mlruns && exec dvc repro"
    command = ["unshare", "--mount", "--map-root-user", "sh", "-c", full]
    code, printed = setting.run(*command, MLFLOW_TRACKING_URI=store, **OWN_PROCESSES)
    assert code == 0, printed
    assert "track: WARNING: pipeline" in printed
    assert "No space left on device" in printed
    [parent] = parents(client)
    assert set(children(client, parent)) == set(RECORDED)
    code, printed = setting.run(*PUBLISH, MLFLOW_TRACKING_URI=store)
    assert "WARNING" not in printed
    [parent] = parents(client)
    stages = children(client, parent)
    assert client.list_artifacts(parent.info.run_id)
    assert client.list_artifacts(stages["evaluate"].info.run_id)
    assert_one_run_per_key(client)


def track_of(process: subprocess.Popen[str]) -> psutil.Process | None:
    """Returns the process of the track stage below `dvc repro`, as soon as there is one."""
    for below in psutil.Process(process.pid).children(recursive=True):
        try:
            if below.cmdline()[-2:] == ["stemtune.run", "track"]:
                return below
        except psutil.NoSuchProcess:
            continue
    return None


def wait_for(what: Callable[[], object], process: subprocess.Popen[str]) -> object:
    """Returns what is waited for; fails if the process ends before."""
    while process.poll() is None:
        if found := what():
            return found
        time.sleep(0.05)
    pytest.fail(f"ended too early:\n{process.communicate()[0]}")


def test_track_killed_in_the_middle_is_made_up_for(setting: Setting) -> None:
    before = {run.info.run_id for run in runs(setting.client)}
    process = setting.start("dvc", "repro")
    track = wait_for(lambda: track_of(process), process)
    assert isinstance(track, psutil.Process)
    wait_for(lambda: len(runs(setting.client)) > len(before) + 3, process)
    track.kill()
    assert process.wait() != 0
    setting.repro()
    second, first = parents(setting.client)[:2]
    assert first.info.run_id not in before
    for parent in (first, second):
        assert_whole(setting.client, setting.project.root, parent, ran=set())
    assert_one_run_per_key(setting.client)
    assert setting.pending() == []


def test_two_publishers_at_once_leave_one_run_per_key(setting: Setting) -> None:
    setting.repro(**NOWHERE)
    before = len(parents(setting.client))
    both = [setting.start(*PUBLISH), setting.start(*PUBLISH)]
    for publisher in both:
        printed, _ = publisher.communicate()
        assert publisher.returncode == 0, printed
    assert len(parents(setting.client)) == before + 1
    assert_whole(setting.client, setting.project.root, setting.newest(), ran=set())
    assert_one_run_per_key(setting.client)
    assert setting.pending() == []


def test_epochs_are_live_and_a_killed_stage_of_an_experiment_fails(setting: Setting) -> None:
    endless = ("--name", "endless", "--set-param", "train_best.epochs=1000000")
    process = setting.start("dvc", "exp", "run", *endless)

    def live() -> Run | None:
        for run in runs(setting.client):
            if run.info.status == "RUNNING" and "train_loss" in run.data.metrics:
                return run
        return None

    child = wait_for(live, process)
    assert isinstance(child, Run)
    assert child.info.run_name == "train_best"
    assert setting.newest().info.status == "RUNNING"
    history = setting.client.get_metric_history(child.info.run_id, "train_loss")
    assert [point.step for point in history] == list(range(1, len(history) + 1))
    for below in psutil.Process(process.pid).children(recursive=True):
        if below.cmdline()[-2:] == ["stemtune.run", "train_best"]:
            below.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode != 0
    place.wait_for(lambda: setting.newest().info.status != "RUNNING", 60)
    parent = setting.newest()
    assert parent.info.run_name == "endless"
    assert parent.data.tags["dvc.experiment"] == "endless"
    assert parent.data.tags["dvc.experiment.train_best.epochs"] == "1000000"
    assert parent.info.status == "FAILED"
    failed = setting.client.get_run(child.info.run_id)
    assert failed.info.status == "FAILED"
    assert "killed" in failed.data.tags["mlflow.note.content"]


def test_a_stage_that_fails_says_why(setting: Setting) -> None:
    setting.project.run("git", "checkout", "params.yaml")
    before = len(parents(setting.client))
    setting.project.set_params(tune_lr={"tuner": "guess"})
    code, printed = setting.run("dvc", "repro")
    assert code != 0
    assert "(found 'guess')" in printed
    # The publisher outlives the stage by some seconds.
    place.wait_for(lambda: len(parents(setting.client)) > before, 60)
    place.wait_for(lambda: setting.newest().info.status == "FAILED", 60)
    assert len(parents(setting.client)) == before + 1
    [failed] = children(setting.client, setting.newest()).values()
    assert failed.info.status == "FAILED"
    assert "(found 'guess')" in failed.data.tags["error"]


def test_more_than_the_server_takes_in_one_call_is_shown_whole(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", setting.server.address)
    record = Record(name="tune_lr", started=1.8e9, params={f"p {k:03}": k for k in range(120)})
    record.epochs = [
        Epoch(epoch=k, time=1.8e9 + k, seconds=1.0, metrics={"train_loss": 1 / k})
        for k in range(1, 1200)
    ]
    record.fail("line\n" * 2000 + "ValueError: the last line", 1.8e9 + 1300)
    kept = Outbox.current("much")
    kept.begin(record)
    parent = Publisher().show(kept)
    shown = children(setting.client, setting.client.get_run(parent))["tune_lr"]
    assert len(setting.client.get_metric_history(shown.info.run_id, "train_loss")) == 1199
    assert len(shown.data.params) == 120
    assert "ValueError: the last line" in shown.data.tags["mlflow.note.content"]


def test_a_stage_by_hand_is_a_pipeline_run_of_its_own(setting: Setting) -> None:
    setting.project.run("git", "checkout", "params.yaml")
    before = len(parents(setting.client))
    code, printed = setting.run("python", "-m", "stemtune.run", "tune_lr")
    assert code == 0, printed
    place.wait_for(lambda: setting.newest().info.run_name == "tune_lr by hand", 60)
    place.wait_for(lambda: setting.newest().info.status == "FINISHED", 60)
    assert len(parents(setting.client)) == before + 1
    [stage] = children(setting.client, setting.newest()).values()
    assert stage.info.status == "FINISHED"
    assert set(children(setting.client, stage)) == {"trial 1", "trial 2"}
