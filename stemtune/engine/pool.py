"""Runs chunks in processes of this machine, side by side.

On few threads each, several processes train and embed more in sum than one on many threads: what
a network does between two waits for all threads is short.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from typing import Any

from stemtune.core import dvc
from stemtune.engine.engine import FILE, Chunk, EngineError, Heard, Local, Result

# Between two looks at what processes tell, seconds.
LOOK_SECONDS = 0.1
KILLED = (
    "a process that did a part of the stage was killed, by a system without memory in most cases; "
    "set `workers: 1` in {}, and run again"
)


@dataclass(frozen=True)
class Pool:
    """Runs each chunk in one of several processes, which end with the map, and with this one.

    Attributes:
        processes: How many, unless there are fewer chunks, or a few more.
        prepare: Is run once in each, before anything is loaded there.
    """

    processes: int
    prepare: Callable[[], None]

    workers = 1
    spreads = True

    def map(
        self,
        function: Callable[..., Result],
        chunks: Sequence[Chunk],
        heard: Heard | None = None,
    ) -> Iterator[Result]:
        """See `Engine.map`. A single chunk runs in this process, which has all loaded.

        Raises:
            EngineError: A process was killed.
        """
        # The last of three chunks would be alone on two cores: all three share them instead.
        processes = len(chunks) if len(chunks) < 2 * self.processes else self.processes
        if processes < 2:
            yield from Local(self.workers).map(function, chunks, heard)
            return
        context = multiprocessing.get_context("spawn")
        told: SimpleQueue[Any] = context.SimpleQueue()
        others = multiprocessing.active_children()
        with ProcessPoolExecutor(processes, context, _enter, (self.prepare, told)) as executor:
            with _interrupts_blocked():
                waiting = [
                    executor.submit(_run, function, chunk, heard is not None) for chunk in chunks
                ]
            started = [each for each in multiprocessing.active_children() if each not in others]
            try:
                for future in waiting:
                    _await(future, started, told, heard)
                    yield future.result()
            except BrokenProcessPool as error:
                raise EngineError(KILLED.format(dvc.project() / FILE)) from error
            finally:
                if not all(future.done() for future in waiting):
                    # What they do may take hours.
                    for process in started:
                        process.kill()


def _await(
    future: Future[Any],
    processes: Sequence[BaseProcess],
    told: "SimpleQueue[Any]",
    heard: Heard | None,
) -> None:
    """Waits until a chunk is done, and passes on what processes tell meanwhile.

    Raises:
        BrokenProcessPool: A process was killed.
    """
    while not future.done() or not told.empty():
        if heard and not told.empty():
            heard(told.get())
        elif any(process.exitcode for process in processes):
            # Of those that were started last, Python's pool may learn nothing.
            raise BrokenProcessPool
        else:
            wait([future], LOOK_SECONDS)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Has processes that a block starts take no notice of Ctrl-C, which is for this one."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _enter(prepare: Callable[[], None], told: "SimpleQueue[Any]") -> None:
    """Makes a process ready for chunks."""
    threading.Thread(target=_end_with_owner, name="end with stage", daemon=True).start()
    prepare()
    _told.append(told)


# Of this process: what it tells the one that started it.
_told: list["SimpleQueue[Any]"] = []


def _end_with_owner() -> None:
    if owner := multiprocessing.parent_process():
        owner.join()
    # Whatever a chunk is doing; what is half-written has no name yet.
    os._exit(1)


def _run(function: Callable[..., Result], chunk: Any, is_heard: bool) -> Result:
    return function(chunk, _told[0].put) if is_heard else function(chunk)
