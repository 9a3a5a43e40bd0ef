"""What tests give an engine to do; workers import it."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from stemtune.core.errors import Missing


def job(item: str) -> str:
    """Fails where an item says so; else returns it in capitals."""
    if item == "mistake":
        raise KeyError("hashes")
    return item.upper()


def told(item: str, tell: Callable[[str], None]) -> int:
    """Tells of an item, in whichever process, and returns that; others have time to begin."""
    tell(item)
    time.sleep(0.7)
    return os.getpid()


def ready() -> None:
    """Makes a process ready, as `Engine`s have it."""
    os.environ["READY"] = "yes"


def unready() -> None:
    """Fails, as what cannot be imported."""
    job("mistake")


class Late:
    """What cannot be imported in a process that is not ready."""

    def __setstate__(self, state: object) -> None:
        if os.environ.get("READY") != "yes":
            raise ImportError


def take(item: Late) -> str:
    return type(item).__name__


def ends_or_takes_long(item: str) -> str:
    """Fails, or kills its process, if an item says so; else takes an hour."""
    if item == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if item == "mistake":
        job(item)
    if item == "missing":
        raise Missing(Path("models"))
    time.sleep(3600)
    return item
