"""A stage ends with the DVC that started it."""

import shlex
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bench.project import ROOT, inherited

STAGE = """
import time
from pathlib import Path
from stemtune import run

def work(record):
    Path("began").touch()
    time.sleep(30)
    Path("output").touch()

run.run("long", work)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A DVC project whose one stage says that it began, and takes half a minute."""
    (tmp_path / "long.py").write_text(STAGE)
    (tmp_path / "params.yaml").write_text(
        (ROOT / "params.yaml").read_text().replace("  enabled: true", "  enabled: false")
    )
    command = shlex.join(["env", f"PYTHONPATH={ROOT}", sys.executable, "long.py"])
    (tmp_path / "dvc.yaml").write_text(f"stages:\n  long:\n    cmd: {command}\n")
    subprocess.run(
        ["dvc", "init", "--no-scm", "--quiet"], cwd=tmp_path, env=inherited(), check=True
    )
    return tmp_path


def test_a_stage_whose_dvc_is_killed_ends_as_well(folder: Path) -> None:
    with (folder / "printed").open("w") as log:
        command = ["dvc", "repro"]
        started = subprocess.Popen(command, cwd=folder, env=inherited(), stdout=log, stderr=log)
    dvc = psutil.Process(started.pid)
    until = time.monotonic() + 60
    while not (folder / "began").exists():
        assert started.poll() is None, (folder / "printed").read_text()
        assert time.monotonic() < until
        time.sleep(0.05)
    below = dvc.children(recursive=True)
    assert below
    dvc.kill()
    started.wait()
    _, alive = psutil.wait_procs(below, timeout=20)
    assert not alive
    assert not (folder / "output").exists()
    assert "long: `dvc`, which ran the stage, was killed" in (folder / "printed").read_text()
