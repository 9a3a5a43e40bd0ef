"""A process is found again by its machine, number and start."""

import os
import subprocess

import psutil
import pytest

from stemtune.tracking.process import Process


def test_a_process_is_known_by_its_start_however_the_clock_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    this = Process.of(psutil.Process())
    assert this.find() == psutil.Process()
    assert this.model_copy(update={"started": this.started + 1}).find() is None
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: 1_000_000_000.0)
    assert Process.of(psutil.Process()) == this


def test_a_process_that_ended_and_is_not_waited_for_yet_is_at_work_no_more() -> None:
    process = subprocess.Popen(["true"])
    noted = Process.of(psutil.Process(process.pid))
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert noted.find() is None
    process.wait()
    assert noted.find() is None
