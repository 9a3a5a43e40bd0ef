"""Works on several clips at a time, as many as a sandbox decodes."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from stemtune.core import terminal
from stemtune.media.sandbox import Sandbox

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
        function: Gets the sandbox and an item, in a thread. Results are kept to the end.
        items: As text they name themselves.
        description: Shown on a terminal.
    """
    with (
        terminal.steps(description, len(items), "clips"),
        ThreadPoolExecutor(sandbox.decoders) as threads,
    ):
        try:
            futures = [threads.submit(function, sandbox, item) for item in items]
            for item, future in zip(items, futures, strict=True):
                try:
                    result = future.result()
                except Exception as error:
                    error.add_note(f"This happened with {item}.")
                    raise
                terminal.move()
                yield result
        except BaseException:
            # Else what is begun would be done first, even after Ctrl-C.
            threads.shutdown(wait=False, cancel_futures=True)
            sandbox.close()
            raise
