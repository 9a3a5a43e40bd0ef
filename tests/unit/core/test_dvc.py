"""The DVC above a process is found by its program, not by a word of a command line."""

import subprocess

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
