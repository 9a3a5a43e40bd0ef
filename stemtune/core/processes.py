"""Processes that others have noted, found again by number and start."""

import psutil


def started(process: psutil.Process) -> float:
    """Returns when a process was started, seconds since the machine was.

    A clock that is set moves the times since 1970 of all processes, this one not.
    """
    return round(process.create_time() - psutil.boot_time(), 2)


def find(number: int, start: float) -> psutil.Process | None:
    """Returns a process if it is still at work on this machine.

    Args:
        number: Of the process; it may have been given to another one since.
        start: From `started`.

    Returns:
        None where it has ended.
    """
    try:
        process = psutil.Process(number)
        is_it = started(process) == start and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if is_it else None
