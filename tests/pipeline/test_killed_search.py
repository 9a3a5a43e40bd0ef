"""A search that is killed goes on where it stopped, in a project of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.project import UNTRACKED, Project

RANGE = {"min": 1e-5, "max": 1e-2, "sampling": "log"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def embedded(project: Project, warm: dict[str, str]) -> Project:
    project.environment = warm
    project.set_params(extract_frames={"size": 96, "frames_per_clip": 1}, track=UNTRACKED)
    project.add_pictures(per_split=8, side=96)
    project.run("dvc", "repro", "embed_frames")
    return project


def kill_in_trial(number: int, root: Path) -> str:
    """Runs the stage alone, kills it in the second seed of a trial, and returns what it printed."""
    command = [sys.executable, "-u", "-m", "stemtune.run", "tune_lr"]
    verbose = os.environ | {"STEMTUNE_VERBOSE": "1"}
    with subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, text=True, env=verbose
    ) as stage:
        assert stage.stdout
        printed = ""
        for line in stage.stdout:
            printed += line
            if line.startswith(f"tune_lr: trial {number},") and "seed 2: epoch " in line:
                os.kill(stage.pid, signal.SIGKILL)
                break
    assert stage.returncode == -signal.SIGKILL
    return printed


@pytest.mark.parametrize(
    "tune_lr",
    [
        pytest.param(
            {"tuner": "bayesian", "learning_rates": RANGE, "max_trials": 5}, id="bayesian"
        ),
        # Cut off in one process it is looked at in test_search.
        pytest.param(
            {"tuner": "hyperband", "max_trials": None, "learning_rates": [1e-2, 1e-3, 1e-4, 1e-5]},
            id="hyperband",
            marks=pytest.mark.footage,
        ),
    ],
)
def test_a_killed_search_comes_to_the_same_trials_without_redoing_the_finished(
    embedded: Project, tune_lr: dict[str, Any]
) -> None:
    outputs = [embedded.root / "tuning" / name for name in ("trials.csv", "best.json")]
    # What is done is kept of live features, which take hours.
    live = {"units": None, "dropout": 0.0, "augmentation": "none", "cached_features": False}
    embedded.set_params(tune_lr={"seeds": [1, 2]} | tune_lr, train_best={"head": live})
    embedded.run("dvc", "repro", "tune_lr")
    whole = [path.read_bytes() for path in outputs]
    count = len(outputs[0].read_text().splitlines()) - 1
    # In the last but one: of Hyperband the first that goes on from another.
    cut = count - 1
    for path in outputs:
        path.unlink()
    printed = kill_in_trial(cut, embedded.root)
    assert "finished before, kept" not in printed
    assert not any(path.exists() for path in outputs)
    printed = embedded.run("dvc", "repro", "--single-item", "--force", "tune_lr")
    assert [path.read_bytes() for path in outputs] == whole
    for number in range(1, count + 1):
        for seed in (1, 2):
            # It was killed in the second seed of this trial.
            done = number < cut or (number == cut and seed == 1)
            kept = f"tune_lr: trial {number}, seed {seed}: finished before, kept" in printed
            assert kept == done, (number, seed)
    assert not [*(embedded.root / ".search").glob("*")]
