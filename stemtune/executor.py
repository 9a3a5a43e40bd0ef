"""Runs a function over clips in worker processes, so that a bad clip costs itself alone."""

import multiprocessing
import resource
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pebble import ProcessExpired, ProcessPool
from tqdm import tqdm

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


def map_clips(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    seconds: float,
    memory: int,
    description: str,
) -> Iterator[Result | Failure]:
    """Yields the result for each item, in order, or why there is none.

    What the function raises is a mistake in the program, and is raised here.

    Args:
        function: Importable by name; gets one item.
        items: Picklable and small: what is big is written by the worker.
        workers: Number of processes.
        seconds: Time limit for one item; its process is ended when it takes longer.
        memory: Address space of a worker, MiB; what asks for more gets MemoryError.
        description: For the progress bar, which shows on a terminal only.
    """
    if not items:
        return
    with (
        ProcessPool(
            max_workers=min(workers, len(items)),
            context=multiprocessing.get_context("spawn"),
            initializer=_limit_memory,
            initargs=[memory],
        ) as pool,
        tqdm(total=len(items), desc=description, unit="clip", disable=None) as progress,
    ):
        results = pool.map(function, items, timeout=seconds).result()
        for _ in items:
            outcome: Result | Failure
            try:
                outcome = next(results)
            except TimeoutError:
                outcome = Failure(f"took longer than limits.seconds allows, {seconds:g} s", True)
            except ProcessExpired as error:
                outcome = Failure(f"crashed its decoder (exit code {error.exitcode})", True)
            progress.update()
            yield outcome


def _limit_memory(memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory * 2**20, memory * 2**20))
