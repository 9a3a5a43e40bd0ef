"""What tests give an engine to do; workers import it."""

from collections.abc import Callable


def job(item: str) -> str:
    """Fails where an item says so; else returns it in capitals."""
    if item == "mistake":
        raise KeyError("hashes")
    return item.upper()


def load_job() -> Callable[[str], str]:
    """Returns `job`."""
    return job
