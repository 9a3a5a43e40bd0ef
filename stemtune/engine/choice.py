"""Which engine a user chose: by environment, or for good in a file that git and DVC leave alone."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import psutil
from pydantic import field_validator

from stemtune.core import dvc, files, params
from stemtune.core.errors import InputError
from stemtune.core.settings.block import Block, Count
from stemtune.engine.engine import FILE, Engine, Local
from stemtune.engine.pool import Pool
from stemtune.engine.ray_engine import RayEngine

ENGINE_VARIABLE, ADDRESS_VARIABLE = "STEMTUNE_ENGINE", "RAY_ADDRESS"
# Of a process with a network, bytes.
MEMORY = 2 * 2**30


class Choice(Block):
    """Where work runs; as keys of `FILE`.

    Attributes:
        engine: On this machine (local), or on a Ray cluster (ray).
        address: Of the head of that cluster, or "auto": the one that this machine belongs to; "":
            a cluster of this machine alone, which lives as long as the stage.
        workers: Of the engine local, how many clips are decoded at a time, and on how many cores
            networks run; None: as many as there are cores that this process may use.
    """

    engine: Literal["local", "ray"] = "local"
    address: str = ""
    workers: Count | None = None

    @field_validator("address")
    @classmethod
    def _is_of_the_cluster_itself(cls, address: str) -> str:
        if "://" in address:
            raise ValueError(
                "is no address that a stage can use; give HOST:PORT or auto, and run on a machine "
                "of the cluster"
            )
        return address


def cores() -> int:
    """Returns how many cores this process may use, which may be fewer than the machine has."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        # macOS has none.
        return os.cpu_count() or 1


def read() -> Choice:
    """Returns the choice; an environment variable overrides the file.

    Raises:
        InputError: There is no such engine, or the file has another key.
    """
    path = dvc.project() / FILE
    content = files.read_yaml(path) if path.exists() else None
    if content is not None and not isinstance(content, dict):
        raise InputError(f"{path} must have lines such as `engine: ray`; got {content!r}")
    choice = params.check(Choice, content or {}, str(path))
    for key, variable in (("engine", ENGINE_VARIABLE), ("address", ADDRESS_VARIABLE)):
        if given := os.environ.get(variable, "").strip():
            choice = params.check(Choice, choice.model_dump() | {key: given}, variable)
    return choice


def choose(threads: int, prepare: Callable[[], None] | None = None) -> Engine:
    """Returns the chosen engine; nothing of it is started before it is used.

    Args:
        threads: Of a network.
        prepare: Is run once in each other process, before anything is loaded there; None: chunks
            run no network.

    Raises:
        InputError: As `read`.
    """
    choice = read()
    if choice.engine == "ray":
        return RayEngine(choice.address, threads, prepare)
    workers = choice.workers or cores()
    processes, most = workers // threads, psutil.virtual_memory().available // MEMORY
    if prepare is None or min(processes, most) < 2 or _has_gpu():
        return Local(workers)
    return Pool(processes, most, prepare)


def _has_gpu() -> bool:
    """Returns whether there is one of NVIDIA's, whose memory the first process takes as a whole."""
    return any(Path("/dev").glob("nvidia[0-9]*"))
