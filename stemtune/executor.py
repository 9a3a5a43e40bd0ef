"""Runs a function over clips in worker processes, so that a bad clip costs itself alone."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from pebble import ProcessExpired, ProcessPool
from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_clips(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    seconds: float,
    refusal: type[Exception],
    description: str,
) -> Iterator[Result | str]:
    """Yields the result for each item, in order, or the reason why there is none.

    Args:
        function: Importable by name; gets one item.
        items: Picklable and small: what is big is written by the worker.
        workers: Number of processes.
        seconds: Time limit for one item; its process is ended when it takes longer.
        refusal: The exception by which `function` turns an item down; its message is the reason.
            Any other exception is a mistake in the program and is raised.
        description: For the progress bar, which shows on a terminal only.
    """
    if not items:
        return
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPool(max_workers=min(workers, len(items)), context=context) as pool,
        tqdm(total=len(items), desc=description, unit="clip", disable=None) as progress,
    ):
        results = pool.map(function, items, timeout=seconds).result()
        for _ in items:
            try:
                outcome: Result | str = next(results)
            except refusal as error:
                outcome = str(error)
            except TimeoutError:
                outcome = f"took longer than {seconds:g} s"
            except ProcessExpired as error:
                outcome = f"ended its process with exit code {error.exitcode}"
            progress.update()
            yield outcome
