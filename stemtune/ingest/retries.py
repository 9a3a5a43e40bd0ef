"""Tries again what the system failed to read: a network or a disk may be away for a moment."""

import time
from collections.abc import Callable
from typing import TypeVar

from stemtune.core.errors import InputError

# Before the second try and before the third, seconds.
PAUSES = (1.0, 4.0)

Result = TypeVar("Result")


class UnreadError(InputError):
    """The system fails to read data, which says nothing about the data."""


def reading(read: Callable[[], Result], failure: type[Exception] = OSError) -> Result:
    """Returns what `read` returns; tries again, after a pause, where it raises `failure`."""
    for pause in PAUSES:
        try:
            return read()
        except failure:
            time.sleep(pause)
    return read()


def unread(what: str, reason: object) -> UnreadError:
    """Returns the error that ends a stage which could not read its data."""
    return UnreadError(
        f"{what} could not be read in {len(PAUSES) + 1} tries ({reason}). Look after the disk or "
        "the network and run again: what is done is kept. Or take what cannot be read out of data/"
    )
