"""A cluster of this machine alone: what comes back, who can reach it, and that it ends."""

import json
import socket
import subprocess
import sys
import time

import psutil
import pytest

from bench.project import inherited
from stemtune.engine.ray_engine import EngineError, RayEngine
from tests.support.jobs import job
from tests.support.project import ROOT

PROGRAM = """
import contextlib, json, psutil
from stemtune.engine.ray_engine import RayEngine
from tests.support.jobs import job, load_job

engine = RayEngine("", 1, None)
found = [*engine.map(job, ["a", "b"]), *engine.map_loaded(load_job, ["c", "d", "e"])]
for run in (lambda: engine.map(job, ["mistake"]), lambda: engine.map_loaded(load_job, ["mistake"])):
    try:
        [*run()]
    except KeyError as error:
        found.append(type(error).__name__)
below = psutil.Process().children(recursive=True)
heard = set()
for process in below:
    # Ray ends workers that have nothing to do.
    with contextlib.suppress(psutil.NoSuchProcess):
        heard |= {
            connection.laddr.ip
            for connection in process.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }
print(json.dumps([found, sorted(heard), [process.pid for process in below]]))
"""


@pytest.mark.slow
def test_a_cluster_of_one_machine_does_the_work_unheard_and_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env=inherited(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found, heard, below = json.loads(done.stdout)
    assert found == ["A", "B", "C", "D", "E", "KeyError", "KeyError"]
    assert {address.removeprefix("::ffff:") for address in heard} == {"127.0.0.1"}
    deadline = time.monotonic() + 30
    while any(psutil.pid_exists(number) for number in below):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_where_no_cluster_listens_the_stage_says_so_at_once() -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unheard.getsockname()[1]}"
        with pytest.raises(EngineError, match=f"no Ray cluster answers at {address}"):
            next(RayEngine(address, 1, None).map(job, ["a"]))
