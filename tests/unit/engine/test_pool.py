"""Processes side by side: what comes back, what is told meanwhile, and that they end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import psutil
import pytest

from bench.project import inherited
from stemtune.core.errors import Missing
from stemtune.engine.engine import EngineError
from stemtune.engine.pool import Pool
from tests.support import jobs
from tests.support.place import wait_for
from tests.support.project import ROOT

POOL = Pool(2, 3, jobs.ready)
# As a stage runs it, on chunks that take an hour.
PROGRAM = """
from stemtune.engine.pool import Pool
from tests.support import jobs

if __name__ == "__main__":
    print(*Pool(2, 2, jobs.ready).map(jobs.ends_or_takes_long, ["a", "b"]))
"""


def test_chunks_come_back_in_order_from_other_processes_and_are_told_of_here() -> None:
    heard: list[str] = []
    items = list("abcd")
    processes = [*POOL.map(jobs.told, items, heard.append)]
    assert sorted(heard) == items
    assert 1 < len({*processes}) <= 2
    assert os.getpid() not in processes
    assert [*POOL.map(jobs.job, items)] == [item.upper() for item in items]


def test_a_process_is_ready_before_anything_is_imported_there() -> None:
    late = jobs.Late()
    # Or it would have nothing to be set.
    late.__dict__["state"] = 1
    assert [*POOL.map(jobs.take, [late, late])] == ["Late", "Late"]


def test_the_last_of_three_chunks_does_not_wait_for_a_core() -> None:
    assert len({*POOL.map(jobs.told, ["a", "b", "c"], print)}) == 3


def test_a_chunk_alone_runs_where_all_is_loaded() -> None:
    assert [*POOL.map(jobs.told, ["a"], print)] == [os.getpid()]
    assert [*POOL.map(jobs.job, [])] == []


def test_memory_bounds_the_processes() -> None:
    few = Pool(4, 2, jobs.ready)
    assert len({*few.map(jobs.told, ["a", "b", "c"], print)}) == 2
    assert {*Pool(4, 1, jobs.ready).map(jobs.told, ["a", "b"], print)} == {os.getpid()}


@pytest.mark.parametrize(
    ("item", "error", "said"),
    [
        ("mistake", KeyError, "hashes"),
        ("missing", Missing, "^models is missing; `dvc repro` makes it$"),
        ("kill", EngineError, r"was killed, by a system without memory .* `workers: 1`"),
    ],
)
def test_what_ends_a_chunk_ends_the_others_and_is_raised(
    item: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        next(POOL.map(jobs.ends_or_takes_long, [item, "long"]))
    assert not working(psutil.Process())


def test_what_stops_a_process_from_getting_ready_is_raised() -> None:
    with pytest.raises(KeyError, match="hashes"):
        next(Pool(2, 2, jobs.unready).map(jobs.job, ["a", "b"]))


def test_ctrl_c_while_processes_start_ends_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    spawn = ProcessPoolExecutor._spawn_process  # type: ignore[attr-defined]

    def interrupted(executor: ProcessPoolExecutor) -> None:
        spawn(executor)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(ProcessPoolExecutor, "_spawn_process", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            next(POOL.map(jobs.ends_or_takes_long, ["long", "long"]))
    finally:
        signal.signal(signal.SIGINT, before)
    assert not working(psutil.Process())


@pytest.fixture
def started() -> Iterator[psutil.Popen]:
    """A stage whose chunks have begun, in a process group of its own."""
    process = psutil.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env=inherited(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell's background jobs, such as tests may be one of, ignore it.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    wait_for(lambda: len(working(process)) == 2)
    yield process
    if process.poll() is None:
        process.kill()


def test_processes_end_with_a_stage_that_is_killed(started: psutil.Popen) -> None:
    left = working(started)
    started.kill()
    _, alive = psutil.wait_procs(left, timeout=20)
    assert not alive


def test_ctrl_c_ends_all_at_once_and_is_said_once(started: psutil.Popen) -> None:
    left = working(started)
    time.sleep(1)
    # A terminal sends it to all.
    os.killpg(started.pid, signal.SIGINT)
    assert not psutil.wait_procs(left, timeout=20)[1]
    said = started.communicate(timeout=20)[1]
    assert said.count("KeyboardInterrupt") == 1, said


def working(owner: psutil.Process) -> list[psutil.Process]:
    """Returns the processes that run chunks for another."""
    return [child for child in owner.children() if "spawn_main" in " ".join(child.cmdline())]
