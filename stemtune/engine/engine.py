"""The seam: a function is run over chunks of clips, wherever that may be."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

# Clips per chunk when work is distributed.
CLIPS = 32

Item = TypeVar("Item")
Chunk = TypeVar("Chunk")
Result = TypeVar("Result")


class Engine(Protocol):
    """Runs functions over chunks.

    What is passed is importable by name or can be pickled, and is small: frames and features
    are read and written where the function runs, in the folder that all machines share. A chunk may
    start again after a machine died, so a function skips what is there already. A function that
    needs a network caches it: a process runs many chunks.
    """

    @property
    def workers(self) -> int:
        """How many processes a chunk may start."""

    @property
    def spreads(self) -> bool:
        """Whether chunks run side by side, and elsewhere."""

    def map(self, function: Callable[[Chunk], Result], chunks: Sequence[Chunk]) -> Iterator[Result]:
        """Yields what a function returns for each chunk, in order; raises what it raises."""


@dataclass(frozen=True)
class Local:
    """Runs chunks in this process, one after another."""

    workers: int

    spreads = False

    def map(self, function: Callable[[Chunk], Result], chunks: Sequence[Chunk]) -> Iterator[Result]:
        """Does as `Engine.map`."""
        return map(function, chunks)


def split(engine: Engine, items: Sequence[Item], size: int = CLIPS) -> list[Sequence[Item]]:
    """Returns items in chunks of a size if work is distributed, else in one; none without items."""
    step = size if engine.spreads else max(len(items), 1)
    return [items[start : start + step] for start in range(0, len(items), step)]
