"""A cluster of this machine alone: what comes back, who can reach it, and that it ends."""

import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from bench.project import inherited
from stemtune.engine.ray_engine import EngineError, RayEngine
from tests.support.jobs import job
from tests.support.project import ROOT

PROGRAM = """
import contextlib, json, os, pathlib, psutil
from stemtune.engine.ray_engine import RayEngine
from tests.support.jobs import job, told

engine = RayEngine("", 1, None)
found = [*engine.map(job, ["a", "b"]), *engine.map(job, ["c", "d", "e"])]
try:
    [*engine.map(job, ["mistake"])]
except KeyError as error:
    found.append(type(error).__name__)
heard = []
processes = [*engine.map(told, ["f", "g"], heard.append)]
found += [*heard, os.getpid() in processes]
below = psutil.Process().children(recursive=True)
addresses = set()
for process in below:
    # Ray ends workers that have nothing to do.
    with contextlib.suppress(psutil.NoSuchProcess):
        addresses |= {
            connection.laddr.ip
            for connection in process.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }
[folder] = pathlib.Path(os.environ["RAY_TMPDIR"]).iterdir()
mode = folder.stat().st_mode & 0o777
print(json.dumps([found, sorted(addresses), [process.pid for process in below], mode]))
"""


@pytest.mark.slow
def test_a_cluster_of_one_machine_does_the_work_for_itself_and_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM]
    # Names of sockets are short.
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        environment = inherited() | {"RAY_TMPDIR": place, "HOME": str(tmp_path)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert not list(Path(place).iterdir())
    found, addresses, below, mode = json.loads(done.stdout)
    assert mode == 0o700
    assert not (tmp_path / ".ray").exists()
    assert found == ["A", "B", "C", "D", "E", "KeyError", "f", "g", False]
    assert {address.removeprefix("::ffff:") for address in addresses} == {"127.0.0.1"}
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
