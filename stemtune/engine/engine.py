"""The seam: a function is run over chunks of clips, wherever that may be."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from stemtune.core.errors import InputError

# Of a project: which engine its stages use.
FILE = Path(".stemtune.yaml")
# Clips per chunk when work is distributed.
CLIPS = 32

Item = TypeVar("Item")
Chunk = TypeVar("Chunk")
Result = TypeVar("Result")
# Receives what a function tells while it runs.
Heard = Callable[[Any], None]


class EngineError(InputError):
    """What was chosen to do the work cannot be reached, or died."""


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
        """Whether chunks run side by side, in other processes."""

    def map(
        self,
        function: Callable[..., Result],
        chunks: Sequence[Chunk],
        heard: Heard | None = None,
    ) -> Iterator[Result]:
        """Yields what a function returns for each chunk, in order; raises what it raises.

        Args:
            function: Takes a chunk; with `heard` also `tell`, a function that takes what it tells.
            chunks: Each is run once, or again after what it ran in died.
            heard: Receives, in this thread, what the function tells: while it runs, but from other
                machines when the chunk is done, and nothing of one that raises. An object that
                changes after it was told may arrive in its last state.
        """


@dataclass(frozen=True)
class Local:
    """Runs chunks in this process, one after another."""

    workers: int

    spreads = False

    def map(
        self,
        function: Callable[..., Result],
        chunks: Sequence[Chunk],
        heard: Heard | None = None,
    ) -> Iterator[Result]:
        """Does as `Engine.map`."""
        run = telling(function, heard)
        for chunk in chunks:
            yield run(chunk)


def telling(function: Callable[..., Result], heard: Heard | None) -> Callable[..., Result]:
    """Returns a function of a chunk that tells `heard`, if anyone wants to hear."""
    return partial(function, tell=heard) if heard else function


def split(engine: Engine, items: Sequence[Item], size: int = CLIPS) -> list[Sequence[Item]]:
    """Returns items in chunks of a size if work is distributed, else in one; none without items."""
    step = size if engine.spreads else max(len(items), 1)
    return [items[start : start + step] for start in range(0, len(items), step)]
