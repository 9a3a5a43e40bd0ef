"""Whatever of a `dvc repro` is killed at any time: the same outputs, and no run left going on."""

import json
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from mlflow.tracking import MlflowClient
from voluptuous import Invalid

from stemtune.core import files
from stemtune.core.errors import InputError
from stemtune.tracking import service
from tests.support.mlflow_tree import assert_one_run_per_key, parents, runs
from tests.support.project import Project

KILLS, SEED = 24, 5
# What a kill may hit.
ALL, GROUP, DVC, STAGE, PUBLISHER = (
    "everything",
    "dvc and its stage",
    "dvc alone",
    "the stage alone",
    "the publisher alone",
)
# The shortest and the longest time to a kill, in those that a stage takes on average; to one of the
# publisher, in what it takes until MLflow shows something.
SOONEST, LATEST = 0.2, 2.2
# The stage that always runs, and how many kills may hit it before the others are to run again.
LAST, AT_THE_END = "track", 3
# Names of processes below DVC that are no stages.
OTHERS = ("process ", PUBLISHER)
PRINTED = Path(".dvc/tmp/printed.log")

pytestmark = pytest.mark.campaign


class Victim:
    """A `dvc repro` in a session of its own, whose processes can be killed one by one."""

    def __init__(self, project: Project) -> None:
        self._project = project
        with (project.root / PRINTED).open("a") as log:
            self._started = subprocess.Popen(
                ["dvc", "repro"],
                cwd=project.root,
                env=project.all_environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._dvc = psutil.Process(self._started.pid)

    def wait(self, seconds: float) -> int | None:
        """Returns its exit status once it ended, None if it does not in that time."""
        try:
            return self._started.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def kill(self, what: str) -> str:
        """Kills a part of it, and returns the stage that ran."""
        found: list[psutil.Process] = []
        below: dict[str, psutil.Process] = {}
        while not found and self._started.poll() is None:
            time.sleep(0.02)
            below = self._below()
            found = {
                ALL: [self._dvc, *below.values()],
                GROUP: [self._dvc, *(one for kind, one in below.items() if kind != PUBLISHER)],
                DVC: [self._dvc],
                STAGE: [one for kind, one in below.items() if not kind.startswith(OTHERS)],
                PUBLISHER: [one for kind, one in below.items() if kind == PUBLISHER],
            }[what]
        for process in found:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        stages = [kind for kind in below if not kind.startswith(OTHERS)]
        return ", ".join(stages) or "between stages"

    def _below(self) -> dict[str, psutil.Process]:
        below = {}
        # Stages that are forked are no children of DVC.
        for process in psutil.Process().children(recursive=True):
            try:
                if not self._began(process):
                    continue
                command = process.cmdline()
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
            if "stemtune.run" in command[:-1]:
                # Those that it starts may have its command line; it comes before them.
                stage = command[command.index("stemtune.run") + 1]
                below[f"process {process.pid}" if stage in below else stage] = process
            else:
                below[f"process {process.pid}"] = process
        # The stage that started the publisher may have ended, so it is below none.
        noted = service._noted(self._project.root / ".tracking")
        if noted and (publisher := noted.process.find()):
            below = {kind: one for kind, one in below.items() if one != publisher}
            below[PUBLISHER] = publisher
        return below

    def _began(self, process: psutil.Process) -> bool:
        is_later = process.create_time() >= self._dvc.create_time()
        return is_later and process != self._dvc and process.cwd() == str(self._project.root)


def outputs(project: Project) -> dict[str, bytes]:
    """Returns the content of each output except records and prices, which hold times.

    Nothing is exported, so no page shows a price.
    """
    lock = files.read_yaml(project.root / "dvc.lock")
    paths = [
        Path(out["path"])
        for stage in lock["stages"].values()
        for out in stage.get("outs", [])
        if not out["path"].startswith(("records/", "metrics/latency.json"))
    ]
    return {
        path.relative_to(project.root).as_posix(): path.read_bytes()
        for folder in paths
        for path in [project.root / folder, *(project.root / folder).rglob("*")]
        if path.is_file()
    }


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> list[str]:
    """Returns what differs, a line a file, with the first place where it does."""
    lines = []
    for path in sorted(before.keys() | after.keys()):
        one, other = before.get(path), after.get(path)
        if one is None or other is None:
            lines.append(f"{path}: only {'after' if one is None else 'before'}")
        elif one != other:
            at = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)
            parts = [content[max(at - 40, 0) : at + 80] for content in (one, other)]
            lines.append(f"{path}, byte {at}: {parts[0]!r} became {parts[1]!r}")
    return lines


@pytest.fixture
def project(tmp_path: Path, warm: dict[str, str]) -> Iterator[Project]:
    """Few pictures, and settings that give every stage parts: trials, attempts and models."""
    made = Project(tmp_path / "whole")
    made.environment = warm
    made.set_params(
        extract_frames={"size": 72, "frames_per_clip": 1},
        tune_lr={"epochs": 2, "seeds": [1, 2], "learning_rates": [0.01, 0.001]},
        train_best={"epochs": 2},
        add_stem={
            "epochs": 2,
            "variants": {
                "as_published": {"head": "frozen_small"},
                "as_published_full": {"head": "frozen_full"},
            },
            "learning_rates": [0.003, 0.001],
        },
        compare={"bootstrap_samples": 100},
    )
    made.add_pictures(per_split=4, side=80)
    yield made
    made.remove()


def test_after_any_kills_the_outputs_are_the_same_and_no_run_is_left_going_on(
    project: Project, tmp_path: Path
) -> None:
    other = Project.__new__(Project)
    other.root, other.environment = tmp_path / "killed", project.environment
    shutil.copytree(project.root, other.root)
    started = time.time()
    stages = len(project.repro())
    pace = (time.time() - started) / stages
    shown = first_shown(project) - started
    print(f"\n{stages} stages undisturbed, {pace:.1f} s each, shown after {shown:.1f} s")

    play(other, pace, shown)
    clear_torn_locks(other)
    printed = other.run("dvc", "repro")
    assert changed(outputs(project), outputs(other)) == []
    print(f"{len(outputs(other))} output files are the same to the bit")
    assert not [*other.root.glob(".tracking/*/pipeline.json")], printed
    client = MlflowClient(f"sqlite:///{other.root}/mlflow.db")
    states = [run.info.status for run in runs(client)]
    print({state: states.count(state) for state in sorted(set(states))}, "nothing is pending")
    assert set(states) == {"FINISHED", "FAILED"}
    assert parents(client)[0].info.status == "FINISHED"
    assert_one_run_per_key(client)


def first_shown(project: Project) -> float:
    """Returns when MLflow heard of the first pipeline run, seconds since 1970."""
    client = MlflowClient(f"sqlite:///{project.root}/mlflow.db")
    experiment = client.get_experiment_by_name("stemtune")
    assert experiment
    assert experiment.creation_time
    return experiment.creation_time / 1000


def clear_torn_locks(project: Project) -> None:
    """Deletes locks of DVC's that are torn: killed while it writes them, it cannot go on."""
    for name, is_torn in ((".dvc/tmp/rwlock", is_cut_off), ("dvc.lock", is_refused)):
        lock = project.root / name
        if lock.exists() and is_torn(lock):
            print(f"DVC left {lock.name} torn; deleted")
            lock.unlink()


def is_cut_off(lock: Path) -> bool:
    """Returns whether DVC was killed while it wrote its lock, which it does in place."""
    try:
        json.loads(lock.read_bytes())
    except json.JSONDecodeError:
        return True
    return False


def is_refused(lock: Path) -> bool:
    """Returns whether DVC does not accept its dvc.lock."""
    try:
        COMPILED_LOCKFILE_SCHEMA(files.read_yaml(lock))
    except (Invalid, InputError):
        return True
    return False


def play(project: Project, pace: float, shown: float) -> None:
    """Starts `dvc repro` and kills it, again and again.

    Args:
        project: Without outputs at first.
        pace: Seconds that a stage takes on average.
        shown: Seconds until MLflow shows something.
    """
    chance = random.Random(SEED)  # noqa: S311
    at_the_end = 0
    for number in range(KILLS):
        what = (ALL, GROUP, DVC, STAGE, PUBLISHER)[number % 5]
        after = chance.uniform(SOONEST, LATEST) * (shown if what == PUBLISHER else pace)
        clear_torn_locks(project)
        victim = Victim(project)
        ended = victim.wait(after)
        if ended is not None:
            # Or what was killed before left something that stops the next.
            assert ended == 0, (project.root / PRINTED).read_text()[-5000:]
            stage = "which was over before"
            forget(project)
        else:
            stage = victim.kill(what)
            if what in (STAGE, PUBLISHER) and victim.wait(chance.uniform(0, pace)) is None:
                victim.kill(ALL)
            victim.wait(60)
            at_the_end += stage == LAST
            if at_the_end == AT_THE_END:
                # All that would be left to kill.
                at_the_end = 0
                forget(project)
        print(f"kill {number + 1} of {KILLS}, {after:.1f} s: {what}, {stage}", flush=True)


def forget(project: Project) -> None:
    """Deletes what stages left, so that the next run begins anew; MLflow's runs stay."""
    (project.root / "dvc.lock").unlink(missing_ok=True)
    shutil.rmtree(project.root / ".dvc/cache/runs")
    for name in ("frames", "embeddings", "embeddings_augmented"):
        shutil.rmtree(project.root / name)
