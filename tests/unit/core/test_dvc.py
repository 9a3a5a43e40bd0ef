"""The DVC above a process is found by its program, not by a word of a command line."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from stemtune.core import dvc


def ended_process() -> psutil.Process:
    process = subprocess.Popen(["sleep", "60"])
    found = psutil.Process(process.pid)
    process.kill()
    process.wait()
    return found


def test_a_process_that_ended_is_no_dvc() -> None:
    assert not dvc._is_dvc(ended_process())


@pytest.mark.parametrize(
    ("command", "is_it"),
    [
        ("/usr/bin/python3 /home/a/.venv/bin/dvc repro", True),
        ("python3.11 -X utf8 -s -m dvc exp queue-worker", True),
        ("/usr/bin/dvc repro", True),
        (f"python -m {dvc.TERSE} repro", True),
        ("sudo -u dvc make publish", False),
        ("screen -S dvc", False),
        ("python -m pytest dvc", False),
        ("python -c dvc", False),
        ("", False),
    ],
)
def test_dvc_is_a_program_and_no_argument(command: str, is_it: bool) -> None:
    assert dvc.is_command(command.split()) == is_it


STAGE = """
import sys
from pathlib import Path
from stemtune.core import dvc
Path(sys.argv[1]).write_text(str(dvc.is_orphan()))
"""
# What DVC's Python API does of it: a shell runs the stage.
CALLER = """
import subprocess, sys
subprocess.run(["sh", "-c", '"$0" -c "$@"; exit 0', sys.executable, *sys.argv[1:]], check=True)
"""


def test_a_stage_is_an_orphan_without_dvc_unless_a_python_program_runs_it(tmp_path: Path) -> None:
    environment, seen = os.environ | {"DVC_STAGE": "tune_lr"}, tmp_path / "seen"
    called = [sys.executable, "-c", CALLER, STAGE, str(seen)]
    subprocess.run(called, env=environment, check=True)
    assert seen.read_text() == "False"
    seen.unlink()
    # The shell that starts it ends at once.
    killed = ["sh", "-c", '(sleep 0.5; "$0" -c "$@") &', sys.executable, STAGE, str(seen)]
    subprocess.run(killed, env=environment, check=True, start_new_session=True)
    until = time.monotonic() + 60
    while not (seen.exists() and seen.read_text()):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert seen.read_text() == "True"
