"""Processes that others have noted, found again by machine, number and start."""

import platform
from functools import cache
from pathlib import Path
from typing import Self

import psutil
from pydantic import BaseModel, ConfigDict

from stemtune.core import files


class Process(BaseModel):
    """A process of some machine.

    Attributes:
        machine: From `machine`.
        number: It may have been given to another process since.
        started: Seconds since the machine was. A clock that is set moves the times since 1970 of
            all processes, this one not.
    """

    model_config = ConfigDict(frozen=True)

    machine: str
    number: int
    started: float

    @classmethod
    def of(cls, process: psutil.Process) -> Self:
        """Returns how to find a process of this machine again."""
        started = round(process.create_time() - psutil.boot_time(), 2)
        return cls(machine=machine(), number=process.pid, started=started)

    @property
    def is_here(self) -> bool:
        """Whether this machine's table of processes would have it."""
        return self.machine == machine()

    def find(self) -> psutil.Process | None:
        """Returns the process if it is still at work on this machine; else None."""
        try:
            process = psutil.Process(self.number)
            is_it = Process.of(process) == self and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if is_it else None


@cache
def machine() -> str:
    """Returns a name for this machine since it started; a container has a name of its own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        boot += str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        # Not Linux, where there are no such containers.
        boot = str(round(psutil.boot_time()))
    return files.key(platform.node(), boot)
