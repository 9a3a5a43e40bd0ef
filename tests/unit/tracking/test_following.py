"""A stage in a real process, the publisher beside it, and what may happen to either."""

import os
import shutil
import signal
import socket
import subprocess

from stemtune.core import records
from stemtune.tracking import service
from tests.support import publishers
from tests.support.place import Place, has_ended, wait_for
from tests.support.project import ROOT


def test_stages_are_followed_by_one_publisher_and_shown_whole_after_the_last(place: Place) -> None:
    dvc = place.dvc("$stage tune_lr go; $stage train_best on")
    publisher = place.publisher()
    wait_for(lambda: place.states() == {"pipeline": "RUNNING", "tune_lr": "RUNNING"})
    (place.folder / "go").touch()
    going_on = {"pipeline": "RUNNING", "tune_lr": "FINISHED", "train_best": "RUNNING"}
    wait_for(lambda: place.states() == going_on)
    assert publishers.find(place.folder) == [publisher]
    (place.folder / "on").touch()
    said, _ = dvc.communicate()
    assert "WARNING" not in said
    place.wait_until_shown()
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
    wait_for(lambda: has_ended(first))
    (place.folder / "go").touch()
    wait_for(lambda: place.states().get("last") == "RUNNING")
    assert place.publisher() != first
    (place.folder / "on").touch()
    assert dvc.wait() == 0
    place.wait_until_shown()
    finished = dict.fromkeys(("b", "c", "d", "last"), "FINISHED")
    assert place.states() == finished | {"a": "FAILED", "pipeline": "FAILED"}
    assert "without an error message" in place.runs()["a"].data.tags["mlflow.note.content"]


def test_a_stage_whose_dvc_was_killed_is_ended(place: Place) -> None:
    dvc = place.dvc("$stage tune_lr never; exit 0")
    [kept] = wait_for(place.outboxes)
    wait_for((place.folder / "report.html").exists)
    [process] = kept.begun().values()
    dvc.kill()
    place.wait_until_shown()
    assert process.find() is None
    assert place.states() == {"pipeline": "FAILED", "tune_lr": "FAILED"}
    assert "`dvc`, which ran the stage" in place.runs()["tune_lr"].data.tags["error"]


def test_a_stage_that_is_interrupted_is_shown_by_a_publisher_that_is_not(place: Place) -> None:
    dvc = place.dvc("$stage tune_lr never; exit 1")
    wait_for((place.folder / "report.html").exists)
    place.publisher()
    # As Ctrl-C does.
    os.killpg(dvc.pid, signal.SIGINT)
    said, _ = dvc.communicate()
    place.wait_until_shown()
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
    dvc = place.dvc(f"$stage tune_lr go; cd /; rm -r '{copy}'", copy)
    # Live, by the publisher of the project, which has the same store.
    wait_for(lambda: place.states() == {"pipeline": "RUNNING", "tune_lr": "RUNNING"})
    (copy / "go").touch()
    assert dvc.wait() == 0
    place.wait_until_shown()
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
        wait_for(lambda: has_ended(publisher))
        assert place.outboxes()
