"""Starts stages from a process that has imported TensorFlow and its like already.

Python's import of them takes longer than what a stage does in a test. Where a project's PATH begins
with `python` from here, `python -m stemtune.run` and `python -c …` are forked off that process,
with the environment, folder and standard streams of whoever asked. All else goes to the real
Python. Such a stage is no child of DVC, but finds the ancestors of whoever asked, so that MLflow
shows it where it belongs, and is killed with whoever asked. TensorFlow chooses its kernels when it
is imported, here once for all stages.
"""

import array
import fcntl
import gc
import importlib
import json
import logging
import os
import runpy
import select
import shlex
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from bench.project import PYTHON_VARIABLE, ROOT, inherited
from stemtune.networks import reproducibility

IMPORTED = (
    "keras_tuner",
    "great_expectations",
    "matplotlib.pyplot",
    "pandas",
    "pyarrow.dataset",
    "mlflow.pyfunc",
    "mlflow.store.tracking.sqlalchemy_store",
)
# Of the process, so that it says nothing when it imports.
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "MLFLOW_DISABLE_TELEMETRY": "true"}
# What `python` runs.
CLIENT = """
import array, json, os, signal, socket, sys
option, named = [*sys.argv[1:3], "", ""][:2]
if option != "-c" and (option, named) != ("-m", "stemtune.run"):
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    asked = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    streams = array.array("i", [0, 1, 2]).tobytes()
    server.sendmsg([len(asked).to_bytes(4)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
    server.sendall(asked)
    status = server.recv(1)
if not status:
    # It was killed, and so is what stands for it.
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(status[0])
"""


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    """Yields the variables with which a project's stages are forked."""
    with tempfile.TemporaryDirectory() as folder:
        address, python = f"{folder}/socket", Path(folder) / "python"
        client = CLIENT.format(python=sys.executable, address=address)
        started = shlex.join([sys.executable, "-I", "-S", "-c", client])
        python.write_text(f'#!/bin/sh\nexec {started} "$@"\n')
        python.chmod(0o755)
        environment = inherited()
        command = [sys.executable, "-m", "tests.support.warm_stages", address]
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment | QUIET | {"TMPDIR": folder},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            assert process.stdin
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            try:
                path = f"{folder}{os.pathsep}{environment['PATH']}"
                yield {"PATH": path, PYTHON_VARIABLE: folder}
            finally:
                process.stdin.close()


def serve(address: str) -> None:
    """Forks a stage for each that asks, until standard input is closed."""
    reproducibility.load()
    for name in [name for name in sys.modules if name.split(".")[0] == "stemtune"]:
        # A stage runs the code of its own project.
        del sys.modules[name]
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()
    _learn_of_the_machine()
    # What is forked is not waited for here.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            with listener.accept()[0] as asking:
                if os.fork() == 0:
                    _answer(asking)
    # With the stages that still go on.
    os.killpg(0, signal.SIGTERM)


def _learn_of_the_machine() -> None:
    """Has codecarbon find out what there is, which takes a second, once in a process."""
    codecarbon = importlib.import_module("codecarbon")
    logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
    tracker = codecarbon.OfflineEmissionsTracker(
        country_iso_code="USA", save_to_file=False, log_level="critical", allow_multiple_runs=True
    )
    tracker.start()
    tracker.stop()
    # What is forked has none of its threads, and so should this process.
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join()


def _answer(asking: socket.socket) -> None:
    """Is the stage that was asked for, then says how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    credentials = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _take_the_ancestors_of(struct.unpack("3i", credentials)[0])
    length, [(_, _, streams)], _, _ = asking.recvmsg(4, socket.CMSG_SPACE(12))
    content = b""
    while len(content) < int.from_bytes(length):
        content += asking.recv(2**16)
    _die_with(asking)
    for place, stream in enumerate(array.array("i", streams)):
        os.dup2(stream, place)
        os.close(stream)
    words, folder, environment = json.loads(content)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    asking.sendall(bytes([_run(words, folder)]))
    os._exit(0)


def _die_with(asking: socket.socket) -> None:
    """Has the kernel kill this process once the other end, which says nothing more, is closed."""
    fcntl.fcntl(asking, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(asking, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(asking, fcntl.F_SETFL, os.O_ASYNC)
    if select.select([asking], [], [], 0)[0]:
        # It was closed before.
        os.kill(os.getpid(), signal.SIGKILL)


def _take_the_ancestors_of(asker: int) -> None:
    here, parents = os.getpid(), psutil.Process.parents

    def found(process: psutil.Process) -> list[psutil.Process]:
        return parents(psutil.Process(asker) if process.pid == here else process)

    psutil.Process.parents = found  # type: ignore[assignment, method-assign]


def _run(words: list[str], folder: str) -> int:
    """Runs Python with these words and returns its exit status."""
    option, named, *given = words
    sys.argv, sys.path[0] = [option if option == "-c" else named, *given], folder
    try:
        if option == "-c":
            exec(named, {"__name__": "__main__"})  # noqa: S102
        else:
            runpy.run_module(named, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    serve(sys.argv[1])
