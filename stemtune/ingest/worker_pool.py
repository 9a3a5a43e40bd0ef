"""Runs a function over clips in worker processes, so that a bad clip costs itself alone."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pebble import ProcessExpired, ProcessPool
from tqdm import tqdm

from stemtune.media import decoding

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Failure:
    """Why there is no result.

    Attributes:
        reason: In words.
        again: Whether another run may succeed: the cause lies in time or memory, not in the clip.
    """

    reason: str
    again: bool


class Crash(Failure):
    """The worker process died."""


def map_clips(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    seconds: float,
    memory: int,
    description: str,
) -> Iterator[Result | Failure]:
    """Yields the result for each item, in order, or why there is none.

    What the function raises is a mistake in the program, and is raised here with the item's name.
    Where a worker dies, the item is tried once more in a worker of its own: what was done there
    before may have broken the first.

    Args:
        function: Importable by name; gets one item.
        items: Picklable and small: what is big is written by the worker. As text they name
            themselves.
        workers: Number of processes.
        seconds: Time limit for one item; its process is ended when it takes longer.
        memory: Address space of a worker, MiB; what asks for more gets MemoryError.
        description: For the progress bar, which shows on a terminal only.
    """
    if not items:
        return

    def worked_on(several: Sequence[Item]) -> Iterator[Result | Failure]:
        return _in_processes(function, several, min(workers, len(several)), seconds, memory)

    with tqdm(total=len(items), desc=description, unit="clip", disable=None) as progress:
        for item, outcome in zip(items, worked_on(items), strict=True):
            if isinstance(outcome, Crash):
                (outcome,) = worked_on([item])
            progress.update()
            yield outcome


def _begin(memory: int) -> None:
    """Sets up a worker process: its memory, MiB, and its end with the process that it works for."""
    decoding.limit_memory(memory)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # Whoever is killed limits no time any more, and some clips take for ever.
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _in_processes(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    seconds: float,
    memory: int,
) -> Iterator[Result | Failure]:
    with ProcessPool(
        max_workers=workers,
        context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=[memory],
    ) as pool:
        results = pool.map(function, items, timeout=seconds).result()
        try:
            for item in items:
                outcome: Result | Failure
                try:
                    outcome = next(results)
                except TimeoutError:
                    reason = f"took longer than limits.decode_seconds allows, {seconds:g} s"
                    outcome = Failure(reason, again=True)
                except ProcessExpired as error:
                    reason = f"crashed its decoder (exit code {error.exitcode})"
                    outcome = Crash(reason, again=True)
                except Exception as error:
                    error.add_note(f"This happened with {item}.")
                    raise
                yield outcome
        except BaseException:
            # Else the pool would first do all that was given to it, even after Ctrl-C.
            pool.stop()
            raise
