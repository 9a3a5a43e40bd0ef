"""Stages under each shell that DVC may take from its caller, and under what a shell sets."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from bench import project
from stemtune.core import records
from tests.support.project import ROOT, UNTRACKED, Project

SHELLS = ("sh", "bash", "zsh", "tcsh", "fish")
KERAS_FILE = {
    "floatx": "float16",
    "epsilon": 0.001,
    "backend": "torch",
    "image_data_format": "channels_first",
}
# Some end a stage, some have it wait, and some change what it trains.
FOREIGN = {
    "KERAS_BACKEND": "jax",
    "KERAS_MAX_EPOCHS": "1",
    "KERAS_MAX_STEPS_PER_EPOCH": "1",
    "KERASTUNER_ORACLE_IP": "127.0.0.1",
    "KERASTUNER_ORACLE_PORT": "9",
    "KERASTUNER_TUNER_ID": "tuner0",
    "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit",
    "XLA_FLAGS": "--xla_cpu_enable_fast_math=true",
}
# This one stays, and is on record.
LEFT = {"OMP_NUM_THREADS": "1"}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A DVC repository with one stage, whose python says what it is given, in an odd place."""
    root = tmp_path / "a place"
    root.mkdir()
    (root / "stages").mkdir()
    shutil.copy(ROOT / "stages/run", root / "stages/run")
    stage = {"cmd": "sh stages/run first", "always_changed": True}
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"first": stage}}))
    python = root / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(
        '#!/bin/sh\necho "python: $*; $(dirname "$0"); $(command -v git); $PYTHONUTF8"\n'
    )
    python.chmod(0o755)
    project.prepare(root)
    return root


@pytest.mark.shells
@pytest.mark.parametrize("shell", SHELLS)
def test_a_stage_runs_in_the_projects_environment_whatever_the_shell(
    repository: Path, shell: str
) -> None:
    found = shutil.which(shell)
    assert found, f"this test needs {shell}; to leave such tests out: pytest -m 'not shells'"
    git = shutil.which("git")
    environment = project.inherited() | {"SHELL": found}
    printed = project.run(repository, "dvc", "repro", variables=environment)
    assert f"python: -m stemtune.run first; .venv/bin; {git}; 1" in printed


def test_a_stage_of_a_copy_runs_in_the_environment_of_the_project_that_it_is_of(
    repository: Path,
) -> None:
    """DVC runs queued experiments in a copy, which has no environment."""
    copy = repository / ".dvc/tmp/exps/copy"
    (copy / "stages").mkdir(parents=True)
    shutil.copy(repository / "stages/run", copy / "stages/run")
    environment = project.inherited() | {"DVC_ROOT": str(repository)}
    printed = project.run(copy, "sh", "stages/run", "add_stem@as_published", variables=environment)
    assert f"python: -m stemtune.run add_stem@as_published; {repository}/.venv/bin;" in printed


@pytest.mark.slow
def test_what_a_shell_and_keras_file_set_changes_no_bit(
    warm: dict[str, str], tmp_path: Path
) -> None:
    made = Project(tmp_path / "project")
    made.environment = warm
    made.set_params(
        extract_frames={"size": 72, "frames_per_clip": 1},
        tune_lr={"seeds": [1], "epochs": 2},
        train_best={"epochs": 2},
        track=UNTRACKED,
    )
    made.add_pictures(per_split=4, side=80)
    made.run("dvc", "repro", "train_best")
    expected = outputs(made)
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras/keras.json").write_text(json.dumps(KERAS_FILE))
    made.environment = {"HOME": str(tmp_path)} | FOREIGN | LEFT
    for stage in ("tune_lr", "train_best"):
        printed = made.run(sys.executable, "-m", "stemtune.run", stage)
        assert f"ignored, as they would change results: {', '.join(sorted(FOREIGN))}\n" in printed
        found = records.read(made.root / f"records/{stage}.json").environment["variables"]
        assert "OMP_NUM_THREADS=1" in found
    assert outputs(made) == expected


def outputs(project: Project) -> dict[str, bytes]:
    """Returns what search and training wrote."""
    return {
        path.relative_to(project.root).as_posix(): path.read_bytes()
        for folder in ("tuning", "models")
        for path in sorted((project.root / folder).rglob("*"))
        if path.is_file()
    }
