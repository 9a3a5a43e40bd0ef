"""An engine that hands chunks to a function as another machine would get them, in this process."""

import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from stemtune.engine.engine import Chunk, Heard, Local, Result


@dataclass(frozen=True)
class Spread(Local):
    """Hands over copies, as a cluster does, and what is told when a chunk is done."""

    spreads = True

    def map(
        self,
        function: Callable[..., Result],
        chunks: Sequence[Chunk],
        heard: Heard | None = None,
    ) -> Iterator[Result]:
        """Does as `Engine.map`."""
        for chunk in chunks:
            copied, of_chunk = pickle.loads(pickle.dumps((function, chunk)))  # noqa: S301
            told: list[Any] = []
            [result] = Local(1).map(copied, [of_chunk], told.append if heard else None)
            if heard:
                for each in pickle.loads(pickle.dumps(told)):  # noqa: S301
                    heard(each)
            yield result
