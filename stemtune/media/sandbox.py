"""The sandbox: clips are decoded in a few processes, so a bad clip fails alone."""

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

from stemtune.core.settings.frames import Limits
from stemtune.media import sandbox_process, sandbox_protocol
from stemtune.media.sampling import DecodeError, LimitError, Sample, Span, UnexpectedError
from stemtune.media.sandbox_protocol import BrokenAnswerError, Job

# Of a machine that is busy; a decoder imports no more than what it decodes with.
START_SECONDS = 60
# Between the end of its connection and its own.
END_SECONDS = 1
# Then a decoder is renewed: what libraries leak would count against the memory of a clip.
MOST_JOBS = 1000
ROOT = Path(__file__).parents[2]
# What a decoder gets of this process' environment, which may hold passwords.
PASSED = {
    "PATH", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONDONTWRITEBYTECODE",
    "PYTHONPYCACHEPREFIX", "PYTHONUTF8",
}  # fmt: skip


class BusyError(RuntimeError):
    """No decoder was free within the time that a clip may take."""


class CrashError(UnexpectedError):
    """The clip ended its decoder."""


class OvertimeError(LimitError):
    """The clip was not decoded in its time."""


class Sandbox:
    """Decodes a few clips at a time; threads may share it.

    Decoders end with the process that has the sandbox, or with the `with` block.

    Attributes:
        decoders: How many clips are decoded at a time.
    """

    def __init__(self, limits: Limits, decoders: int, at_once: bool = False) -> None:
        """Makes a sandbox.

        Args:
            limits: Of a clip.
            decoders: How many clips are decoded at a time.
            at_once: Whether decoders start now, in the background; else when they are needed.
        """
        self._limits = limits
        self.decoders = decoders
        self._lock = threading.Lock()
        # None: the sandbox is closed.
        self._started: set[_Decoder] | None = set()
        # None stands for a decoder that is yet to be started.
        self._idle: queue.LifoQueue[_Decoder | None] = queue.LifoQueue()
        for _ in range(decoders):
            self._idle.put(self._start() if at_once else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def sample(
        self,
        clip: Path | IO[bytes],
        count: int,
        side: int,
        seconds: float | None = None,
        span: Span | None = None,
    ) -> Sample:
        """Returns frames of a clip, as `decoding.sample_frames` does.

        Args:
            clip: Its path, or the clip itself, open.
            count: How many frames to take, from 1 on.
            side: Of the squares, px.
            seconds: How long it may take by the clock, with the wait for a decoder but without a
                decoder's start. None: many times what it may take of a processor's time, which
                `limits.decode_seconds` says.
            span: The part of the clip that frames are taken from; None: all of it.

        Raises:
            DecodeError: The clip cannot be decoded.
            LimitError: It is past a limit.
            OvertimeError: It is past that of time.
            CrashError: It ended its decoder, and another one after that.
            BusyError: No decoder was free in that time, or for most of it.
        """
        allowed = _patience(self._limits) if seconds is None else seconds
        began = time.monotonic()
        try:
            decoder = self._idle.get(timeout=max(0.0, allowed))
        except queue.Empty:
            raise BusyError("all decoders are at work; try again") from None
        if decoder and not decoder.is_ours():
            # A process that was forked would share its answers with this one.
            decoder = None
        waited = time.monotonic() - began
        left = max(0.0, allowed - waited)
        # Then nobody knows what the clip takes.
        was_busy = waited > left
        path, descriptor = (str(clip), None) if isinstance(clip, Path) else (None, clip.fileno())
        job = Job(path, count, side, span)
        try:
            decoder = decoder or self._start()
            try:
                began = decoder.await_start()
                return decoder.sample(job, descriptor, began + left)
            except CrashError:
                left -= time.monotonic() - began
                # What it decoded before may have ended it, or a lack of memory at that moment.
                decoder = self._start()
                return decoder.sample(job, descriptor, decoder.await_start() + left)
        except TimeoutError:
            if was_busy:
                reason = "all decoders were at work for most of the time; try again"
                raise BusyError(reason) from None
            raise OvertimeError(self._overtime(allowed, seconds)) from None
        finally:
            self._idle.put(decoder if decoder and decoder.is_usable() else None)

    def close(self) -> None:
        """Ends all decoders, whatever they do; no others are started."""
        with self._lock:
            started, self._started = self._started or set(), None
        for _ in range(self._idle.qsize()):
            with suppress(queue.Empty):
                if decoder := self._idle.get_nowait():
                    decoder.end()
                self._idle.put(None)
        for decoder in started:
            # Its thread, which reads from it, sees that it has ended.
            decoder.kill()

    def _start(self) -> "_Decoder":
        with self._lock:
            if self._started is None:
                raise RuntimeError("this sandbox is closed")
            decoder = _Decoder(self._limits)
            self._started = {other for other in self._started if other.is_alive()} | {decoder}
            return decoder

    def _overtime(self, allowed: float, seconds: float | None) -> str:
        if seconds is not None:
            return f"was not decoded in the {allowed:.3g} s that were left for it"
        return (
            f"took longer than {allowed:g} s by the clock, though little of the "
            f"{self._limits.decode_seconds:g} s of a processor's time that limits.decode_seconds "
            "allows; is its disk or the network slow?"
        )


class _Decoder:
    """A process that decodes one clip at a time, for one thread."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._connection, theirs = socket.socketpair()
        with theirs:
            arguments = [str(theirs.fileno()), limits.model_dump_json()]
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", sandbox_process.__name__, *arguments],
                pass_fds=[theirs.fileno()],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        self._jobs, self._owner = 0, os.getpid()

    def await_start(self) -> float:
        """Waits until it has started; returns the time on the monotonic clock.

        Raises:
            CrashError: It has ended since.
            RuntimeError: It did not start.
        """
        if not self._jobs:
            ready = sandbox_protocol.READY
            try:
                self._connection.settimeout(START_SECONDS)
                started = self._connection.recv(len(ready), socket.MSG_WAITALL) == ready
            except (TimeoutError, ConnectionError):
                started = False
            if not started:
                code = self._end()
                raise RuntimeError(
                    f"a decoder did not start (exit code {code}); what it wrote to standard error "
                    "says why"
                )
        return time.monotonic()

    def sample(self, job: Job, descriptor: int | None, until: float) -> Sample:
        """Returns the frames of a clip.

        Args:
            job: Says which.
            descriptor: Of the clip, where the job names no path.
            until: When it has to have answered, on the monotonic clock.

        Raises:
            DecodeError, LimitError: There are none.
            OvertimeError: It used up its processor time.
            TimeoutError: It has not answered in full by then.
            CrashError: It died, or answered something else.
        """
        self._jobs += 1
        try:
            sandbox_protocol.send_job(self._connection, job, descriptor, until)
            return sandbox_protocol.receive_answer(self._connection, job, until)
        except DecodeError:
            raise
        except (EOFError, ConnectionError):
            code = self._end()
            if code == -signal.SIGPROF:
                raise OvertimeError(_overtime(self._limits)) from None
            raise CrashError(f"crashed its decoder (exit code {code})") from None
        except BrokenAnswerError as error:
            self.end()
            raise CrashError(f"broke its decoder, which answered {error}") from None
        except BaseException:
            # Else the answer would be taken for that of the next clip.
            self.end()
            raise

    def is_usable(self) -> bool:
        """Tells whether it can take a further clip; ends it where it should not."""
        if self._jobs >= MOST_JOBS:
            self.end()
        return self.is_alive()

    def is_ours(self) -> bool:
        """Tells whether this process started it, not one that this was forked from."""
        return self._owner == os.getpid()

    def is_alive(self) -> bool:
        """Tells whether the process is there."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Ends the process, whatever it does; any thread may do so."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Ends the process and the connection."""
        self.kill()
        self._connection.close()

    def _end(self) -> int:
        """Ends what has closed its connection; returns the exit code that it had by itself."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)
        self.end()
        return self._process.returncode


def _environment() -> dict[str, str]:
    """Returns the environment of a decoder, which needs little and may be taken over by a clip."""
    passed = {
        name: value
        for name, value in os.environ.items()
        if name in PASSED or name.startswith("LC_")
    }
    # A logged model's code is where only this process knows.
    modules = os.pathsep.join([str(ROOT), *sys.path])
    # NumPy would reserve memory for a thread on each core.
    return passed | {"PYTHONPATH": modules, "OPENBLAS_NUM_THREADS": "1"}


def _patience(limits: Limits) -> float:
    """Returns how long a clip may take by the clock, where it or the machine sleeps, seconds."""
    return 60 + 10 * limits.decode_seconds


def _overtime(limits: Limits) -> str:
    return f"took longer than limits.decode_seconds allows, {limits.decode_seconds:g} s"
