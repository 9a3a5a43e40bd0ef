"""The publishers that projects of a test leave running."""

from contextlib import suppress
from pathlib import Path

import psutil


def find(below: Path) -> list[psutil.Process]:
    """Returns those of a folder's projects that hold the lock, or are about to look for it."""
    found = []
    for process in psutil.process_iter():
        try:
            is_one = "stemtune.tracking.publisher" in process.cmdline()
            if is_one and Path(process.cwd()).is_relative_to(below):
                found.append(process)
        except psutil.Error:
            continue
    return found


def end(below: Path) -> None:
    """Kills them, those too that are starting and have noted nothing of themselves yet."""
    found = find(below)
    for each in found:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    psutil.wait_procs(found)
