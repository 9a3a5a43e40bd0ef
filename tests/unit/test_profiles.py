"""Profiles go over params.yaml while the pipeline runs, and not a moment longer."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from profiles.__main__ import KEPT, composed, put_over
from stemtune.core import files, params
from stemtune.core.all_params import AllParams
from stemtune.core.params import ParamsError
from tests.support.project import ROOT, Project

PROFILES = sorted(path.stem for path in (ROOT / "profiles").glob("*.yaml"))
# A pipeline that shows which settings it was run with, and goes on until it is stopped if `wait` is
# there.
PIPELINE = """
stages:
  show:
    cmd: cp params.yaml shown.yaml; touch begun; test ! -e wait || exec sleep 600
    deps: [begin]
    params: [runtime]
    outs: [shown.yaml]
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project of one stage, all of it committed, and a profile that sets the seed.

    Whoever runs it has not told git a name, as on a machine where nobody commits.
    """
    project = Project(tmp_path_factory.mktemp("profiles") / "project")
    project.environment["HOME"] = str(tmp_path_factory.mktemp("home"))
    (project.root / "dvc.yaml").write_text(PIPELINE)
    (project.root / "begin").write_text("1")
    (project.root / "profiles/seven.yaml").write_text("runtime:\n  seed: 7\n")
    with (project.root / ".gitignore").open("a") as ignored:
        ignored.write("/shown.yaml\n/begun\n/wait\n")
    project.commit("Begin")
    yield project
    shutil.rmtree(project.root)


def run(project: Project, *names: str) -> tuple[int, str]:
    return project.attempt("python", "-m", "profiles", *names)


def seed_of(path: Path) -> int:
    return params.load(path).runtime.seed


@pytest.mark.parametrize("name", PROFILES)
def test_each_profile_fits_params_yaml(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert "# One block per stage" in composed(name)


def test_a_block_is_put_over_by_setting_and_variants_as_a_whole() -> None:
    content = files.read_yaml(ROOT / "params.yaml")
    before = AllParams.model_validate(content)
    profile = {
        "extract_frames": {"split": {"seed": 3}},
        "tune_lr": {"learning_rates": [0.01]},
        "add_stem": {"variants": {"quick": {"head": "frozen_full"}}},
    }
    put_over(content, profile, AllParams)
    found = AllParams.model_validate(content)
    assert found.extract_frames.split == before.extract_frames.split.model_copy(update={"seed": 3})
    assert found.tune_lr.learning_rates == [0.01]
    assert found.tune_lr.seeds == before.tune_lr.seeds
    assert list(found.add_stem.variants) == ["quick"]
    assert found.add_stem.retrained_head == before.add_stem.retrained_head


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("tune_lr:\n  epoch: 3\n", r"odd.yaml over it is not accepted:\n  tune_lr.epoch: unknown"),
        ("tune_lr: 3\n", r"  tune_lr: .*found 3"),
        ("tuning:\n  epochs: 3\n", "  tuning: unknown setting"),
    ],
)
def test_a_setting_that_params_yaml_would_not_take_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, said: str
) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles/odd.yaml").write_text(written)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ParamsError, match=said):
        composed("odd")


def test_a_run_keeps_an_experiment_leaves_params_yaml_and_names_the_way_back(
    small: Project,
) -> None:
    small.run("dvc", "repro")
    small.commit("Keep")
    committed = (small.root / "params.yaml").read_bytes()
    status, printed = run(small, "seven")
    assert status == 0, printed
    assert seed_of(small.root / "shown.yaml") == 7
    assert (small.root / "params.yaml").read_bytes() == committed
    assert small.run("git", "status", "--porcelain").split() == ["M", "dvc.lock"]
    (experiment,) = small.run("dvc", "exp", "list", "--name-only").split()
    assert experiment.startswith("seven-")
    assert f"kept as the experiment {experiment}" in printed
    small.run("git", "checkout", "dvc.lock")
    small.run("dvc", "checkout")
    assert seed_of(small.root / "shown.yaml") == 1
    assert "up to date" in small.run("dvc", "repro")


def test_an_unknown_profile_is_answered_with_those_that_there_are(small: Project) -> None:
    status, printed = run(small, "papr")
    assert status == 1
    assert printed.startswith("profiles: there is no profile papr; there are ")
    assert "seven, smoke, as profiles/<name>.yaml" in printed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_takes_its_settings_back(
    small: Project, number: signal.Signals
) -> None:
    committed = (small.root / "params.yaml").read_bytes()
    (small.root / "begin").write_text(str(number))
    (small.root / "wait").touch()
    with begun(small) as process:
        assert seed_of(small.root / "params.yaml") == 7
        status, printed = run(small, "seven")
        assert status == 1
        assert f"{KEPT} is there: a profile is running" in printed
        assert seed_of(small.root / "params.yaml") == 7
        # As a terminal does with Ctrl-C, and `make` with a signal of its own.
        os.killpg(process.pid, number)
        (small.root / "wait").unlink()
    assert process.returncode != 0
    assert (small.root / "params.yaml").read_bytes() == committed
    assert not (small.root / KEPT).exists()


def begun(project: Project) -> subprocess.Popen[bytes]:
    """Starts a run with the profile, and returns when its stage has begun."""
    (project.root / "begun").unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "profiles", "seven"],
        cwd=project.root,
        env=project.all_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        # A shell has what it starts in the background ignore Ctrl-C, these tests too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    limit = time.monotonic() + 60
    while not (project.root / "begun").exists():
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.1)
    return process
