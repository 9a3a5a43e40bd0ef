"""Runs chunks on the machines of a Ray cluster, as tasks.

Ray begins a task again whose process or machine died, wherever there is room. The project is in a
folder that all machines see under one path; its code is imported from there.
"""

import atexit
import logging
import os
import pickle
import secrets
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemtune.core.errors import first_line
from stemtune.engine.engine import Chunk, EngineError, Heard, Result, telling

# Ray reads them when it is imported. What a user has set stays.
GUARDED = {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
# A cluster of this machine alone is one of 127.0.0.1, on Linux too.
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
# Whichever is set names the token of a cluster; else Ray writes one that every user can read.
TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
# How often a chunk starts again after its process or machine died.
RETRIES = 2
CONNECT_SECONDS = 10
# No frames go through it.
OBJECT_STORE_BYTES = 128 * 2**20


@dataclass
class RayEngine:
    """Runs each chunk as a task.

    Attributes:
        address: Of a cluster; "": one of this machine is started.
        threads: Of a network.
        prepare: Is run once in each process, before anything is loaded; None: chunks run no
            network.
    """

    address: str
    threads: int
    prepare: Callable[[], None] | None

    workers = 1
    spreads = True

    def map(
        self,
        function: Callable[..., Result],
        chunks: Sequence[Chunk],
        heard: Heard | None = None,
    ) -> Iterator[Result]:
        """See `Engine.map`: a chunk is a task, which Ray starts again if it is lost."""
        if not chunks:
            return
        ray = self._connected()
        # A process on a GPU would end after each task, and with it the networks that it keeps.
        task = ray.remote(max_calls=0)(_run).options(max_retries=RETRIES, **self._needs())
        packed = [pickle.dumps((function, chunk)) for chunk in chunks]
        given = (Path.cwd(), self.prepare, heard is not None)
        waiting = [task.remote(*given, each) for each in packed]
        for reference in waiting:
            result, told = _result(reference)
            if heard:
                for each in told:
                    heard(each)
            yield result

    def _connected(self) -> Any:
        """Returns Ray, connected to the cluster."""
        for name, value in (GUARDED if self.address else GUARDED | LOOPBACK).items():
            os.environ.setdefault(name, value)
        if not (self.address or any(os.environ.get(name) for name in TOKENS)):
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        try:
            import ray
        except ModuleNotFoundError as error:
            raise EngineError(
                f"the engine ray needs the package ray ({error}); install the extra scale, or "
                "choose the engine local"
            ) from None
        if not ray.is_initialized():
            try:
                _require_listener(self.address)
                ray.init(
                    self.address or "local",
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    include_dashboard=None if self.address else False,
                    object_store_memory=None if self.address else OBJECT_STORE_BYTES,
                    _temp_dir=None if self.address else _private_folder(),
                )
            except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
                raise EngineError(
                    f"no Ray cluster answers at {self.address or 'this machine'} "
                    f"({first_line(error)}); start it, give its address and its token, or choose "
                    "the engine local"
                ) from error
        return ray

    def _needs(self) -> dict[str, float]:
        """Returns what a chunk takes: on fewer processors than threads it runs, only slower."""
        if self.prepare is None:
            return {"num_cpus": 1}
        most = _most("CPU")
        return {"num_cpus": min(self.threads, most) or 1, "num_gpus": min(_most("GPU"), 1)}


def _private_folder() -> str:
    """Makes the folder of a cluster of this machine, which goes when this process ends.

    Ray opens its own one to every user, hence a folder within. Below TMPDIR the names of sockets
    may be too long.
    """
    folder = tempfile.mkdtemp(prefix="ray-", dir=os.environ.get("RAY_TMPDIR", "/tmp"))  # noqa: S108
    atexit.register(_end, folder)
    return f"{folder}/ray"


def _end(folder: str) -> None:
    import ray

    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def _require_listener(address: str) -> None:
    """Raises OSError if nobody listens at HOST:PORT: Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()


def _run(
    project: Path,
    prepare: Callable[[], None] | None,
    is_heard: bool,
    packed: bytes,
) -> tuple[Any, list[Any]]:
    """Runs a function over a chunk, both pickled: what they need is imported once all is set.

    Returns:
        The function's result, and what it told.
    """
    _enter(project, prepare)
    function, chunk = pickle.loads(packed)  # noqa: S301
    told: list[Any] = []
    return telling(function, told.append if is_heard else None)(chunk), told


def _enter(project: Path, prepare: Callable[[], None] | None) -> None:
    """Brings a process of Ray's, which may have been there before, to where stages run."""
    if not _entered:
        os.chdir(project)
        if prepare is not None:
            prepare()
        _entered.append(project)


# Of this process: a project has a cluster's processes for itself while a stage runs.
_entered: list[Path] = []


def _most(resource: str) -> float:
    """Returns the largest amount of a resource that one machine has."""
    import ray

    machines = [machine["Resources"] for machine in ray.nodes() if machine["Alive"]]
    return max((machine.get(resource, 0) for machine in machines), default=0)


def _result(reference: Any) -> Any:
    """Returns the result of a task.

    Raises:
        EngineError: Whatever the task ran in died, each time.
        Exception: What the function raised.
    """
    import ray
    from ray import exceptions

    try:
        return ray.get(reference)
    except exceptions.RayTaskError as error:
        raise error.cause from error
    except exceptions.RayError as error:
        raise _died(error) from error


def _died(error: Exception) -> EngineError:
    # The logs stay.
    atexit.unregister(_end)
    return EngineError(
        f"what a chunk of clips ran in died {RETRIES + 1} times ({first_line(error)}); see the "
        "machine's memory and Ray's logs (without RAY_ADDRESS below /tmp/ray-*), then run again: "
        "what is done is kept"
    )
