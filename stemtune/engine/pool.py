"""Runs chunks in processes of this machine, side by side.

On few threads each, several processes train and embed more in sum than one on many threads: what
a network does between two waits for all threads is short.
"""

import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from typing import Any

from stemtune.engine.engine import FILE, Chunk, EngineError, Heard, Local, Result, telling

# Between two looks at what processes tell, seconds.
LOOK_SECONDS = 0.1
FEWER = f"set fewer, such as `workers: 1`, in {FILE}, and run again"
KILLED = (
    "a process that did a part of the stage was killed, by a system without memory in most cases; "
    f"{FEWER}"
)


@dataclass(frozen=True)
class Pool:
    """Runs each chunk in one of several processes, which end with the map, and with this one.

    Attributes:
        processes: As many as there are cores for.
        most: As many as there is memory for.
        prepare: Is run once in each, before anything is loaded there.
    """

    processes: int
    most: int
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
            EngineError: A process was killed, or none could be started.
        """
        # The last of three chunks would be alone on two cores: all three share them instead.
        asked = len(chunks) if len(chunks) < 2 * self.processes else self.processes
        processes = min(asked, self.most)
        if processes < 2:
            yield from Local(self.workers).map(function, chunks, heard)
            return
        context = multiprocessing.get_context("spawn")
        told: SimpleQueue[Any] = context.SimpleQueue()
        waiting: list[Future[Result]] = []
        others = multiprocessing.active_children()
        given = (self.prepare, told, tempfile.gettempdir())
        with ProcessPoolExecutor(processes, context, _enter, given) as executor:
            try:
                with _interrupts_blocked():
                    for chunk in chunks:
                        packed = pickle.dumps((function, chunk))
                        waiting.append(executor.submit(_run, packed, heard is not None))
                started = _since(others)
                for future in waiting:
                    _await(future, started, told, heard)
                    yield future.result()
            except OSError as error:
                if len(waiting) == len(chunks):
                    raise
                raise EngineError(f"no more processes can be started ({error}); {FEWER}") from error
            except BrokenProcessPool as error:
                if error.__cause__:
                    # What a chunk raised or returned could not be passed on.
                    raise
                raise EngineError(KILLED) from error
            finally:
                if not waiting or not all(future.done() for future in waiting):
                    # What they do may take hours.
                    for process in _since(others):
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
    """Has Ctrl-C wait for the end of a block; processes that it starts take no notice of it.

    Another thread may receive the signal, whose handler runs in the main one.
    """
    is_main = threading.current_thread() is threading.main_thread()
    came: list[int] = []
    handler = (
        signal.signal(signal.SIGINT, lambda number, _: came.append(number)) if is_main else None
    )
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if is_main:
            signal.signal(signal.SIGINT, handler)
        if came:
            signal.raise_signal(signal.SIGINT)


def _since(others: Sequence[BaseProcess]) -> list[BaseProcess]:
    """Returns the processes that this one has started besides others."""
    return [each for each in multiprocessing.active_children() if each not in others]


def _enter(prepare: Callable[[], None], told: "SimpleQueue[Any]", temporary: str) -> None:
    """Makes a process ready for chunks; what it leaves for the moment goes with its owner's."""
    threading.Thread(target=_end_with_owner, name="end with stage", daemon=True).start()
    tempfile.tempdir = temporary
    _told.append(told)
    _unprepared.append(prepare)


# Of this process: what it tells the one that started it, and what makes it ready.
_told: list["SimpleQueue[Any]"] = []
_unprepared: list[Callable[[], None]] = []


def _end_with_owner() -> None:
    if owner := multiprocessing.parent_process():
        owner.join()
    # Whatever a chunk is doing; what is half-written has no name yet.
    os._exit(1)


def _run(packed: bytes, is_heard: bool) -> Any:
    """Runs a function over a chunk, both pickled: what they need is imported once all is set."""
    # Not when the process starts: the map would not learn of its errors.
    while _unprepared:
        _unprepared.pop()()
    function, chunk = pickle.loads(packed)  # noqa: S301
    return telling(function, _told[0].put if is_heard else None)(chunk)
