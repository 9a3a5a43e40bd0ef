"""Works on several clips at a time, as many as a sandbox decodes."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from stemtune.core import terminal
from stemtune.media.sandbox import Sandbox

# Items that are begun before the result for an earlier one is there.
AHEAD = 10_000

Item = TypeVar("Item")
Result = TypeVar("Result")


def results(
    sandbox: Sandbox,
    function: Callable[[Sandbox, Item], Result],
    items: Sequence[Item],
    description: str,
) -> Iterator[Result]:
    """Yields the result for each item, in order.

    What the function raises is raised here with the item's name, and the sandbox is closed.

    Args:
        sandbox: Decodes clips.
        function: Gets the sandbox and an item, in a thread.
        items: As text they name themselves.
        description: Shown on a terminal.
    """
    rest = iter(items)
    begun: deque[tuple[Item, Future[Result]]] = deque()
    with (
        terminal.steps(description, len(items), "clips"),
        ThreadPoolExecutor(sandbox.decoders) as threads,
    ):
        try:
            for item in islice(rest, AHEAD):
                begun.append((item, threads.submit(function, sandbox, item)))
            while begun:
                item, future = begun.popleft()
                try:
                    result = future.result()
                except Exception as error:
                    error.add_note(f"This happened with {item}.")
                    raise
                for further in islice(rest, 1):
                    begun.append((further, threads.submit(function, sandbox, further)))
                terminal.move()
                yield result
        except BaseException:
            # Else what is begun would be done first, even after Ctrl-C.
            threads.shutdown(wait=False, cancel_futures=True)
            sandbox.close()
            raise
