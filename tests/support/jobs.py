"""What tests give the workers to do, which import it."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path


def job(item: str) -> str:
    """Hangs, crashes or fails where an item says so; else returns it in capitals."""
    if item == "slow":
        time.sleep(60)
    if item == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if item.startswith("once:"):
        # The worker dies of what an item before did to it.
        seen = Path(item.removeprefix("once:"))
        if not seen.exists():
            seen.touch()
            os.kill(os.getpid(), signal.SIGSEGV)
    if item == "mistake":
        raise KeyError("hashes")
    return item.upper()


def load_job() -> Callable[[str], str]:
    """Returns `job`."""
    return job
