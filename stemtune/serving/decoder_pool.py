"""Decodes clips in a few processes, so that a bad clip ends its decoder and nothing else."""

import os
import queue
import subprocess
import sys
import time
from multiprocessing import Pipe
from pathlib import Path

from stemtune.core.settings.frames import Limits
from stemtune.media.sampling import DecodeError, LimitError, Sample, Span
from stemtune.serving import decoder_process
from stemtune.serving.decoder_process import Job

# Of a machine that is busy; a decoder imports no more than what it decodes with.
START_SECONDS = 60
# Then a decoder is renewed: what libraries leak would count against the memory of a clip.
MOST_JOBS = 1000
ROOT = Path(__file__).parents[2]


class BusyError(RuntimeError):
    """All decoders were at work for as long as a clip may take."""


class CrashError(DecodeError):
    """The clip ended its decoder."""


class OvertimeError(LimitError):
    """The clip was not decoded in the time that it had."""


class DecoderPool:
    """Decodes a few clips at a time; threads may share it.

    Decoders end with the process that has the pool.
    """

    def __init__(self, limits: Limits, decoders: int, at_once: bool = False) -> None:
        """Makes a pool.

        Args:
            limits: Of a clip.
            decoders: How many clips are decoded at a time.
            at_once: Whether decoders start now, in the background; else when they are needed.
        """
        self._limits = limits
        # None stands for a decoder that is yet to be started.
        self._idle: queue.LifoQueue[_Decoder | None] = queue.LifoQueue()
        for _ in range(decoders):
            self._idle.put(_Decoder() if at_once else None)

    def sample(
        self,
        path: Path,
        count: int,
        side: int,
        seconds: float | None = None,
        span: Span | None = None,
    ) -> Sample:
        """Returns frames of a clip, as `decoding.sample_frames` does.

        Args:
            path: Of the clip.
            count: How many frames to take, from 1 on.
            side: Of the squares, px.
            seconds: How long it may take, with the wait for a decoder; None: as the limits say.
            span: The part of the clip that frames are taken from; None: all of it.

        Raises:
            DecodeError: The clip cannot be decoded.
            LimitError: It is past a limit, that of time included.
            CrashError: It ended its decoder.
            BusyError: No decoder was free in that time, or for most of it.
        """
        allowed = self._limits.decode_seconds if seconds is None else seconds
        began = time.monotonic()
        try:
            decoder = self._idle.get(timeout=max(0.0, allowed))
        except queue.Empty:
            raise BusyError("all decoders are at work; try again") from None
        # The start of a decoder does not count, which is not the clip's fault.
        waited = time.monotonic() - began
        left = max(0.0, allowed - waited)
        job = Job(str(path), count, side, self._limits, span, left)
        is_used = decoder is not None
        try:
            decoder = decoder or _Decoder()
            try:
                return decoder.sample(job)
            except CrashError:
                if not is_used:
                    raise
                # What it decoded before may have broken it.
                decoder = _Decoder()
                return decoder.sample(job)
        except OvertimeError:
            if waited <= left:
                raise
            # Nobody knows what the clip takes.
            raise BusyError("all decoders were at work for most of the time; try again") from None
        finally:
            self._idle.put(decoder if decoder and decoder.is_usable() else None)

    def close(self) -> None:
        """Ends the decoders that are idle."""
        idle = [self._idle.get() for _ in range(self._idle.qsize())]
        for decoder in idle:
            if decoder:
                decoder.end()
            self._idle.put(None)


class _Decoder:
    """A process that decodes one clip at a time."""

    def __init__(self) -> None:
        self._connection, theirs = Pipe()
        # A logged model's code lies where only this process knows.
        modules = os.pathsep.join([str(ROOT), *sys.path])
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", decoder_process.__name__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=os.environ | {"PYTHONPATH": modules},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        self._jobs = 0

    def sample(self, job: Job) -> Sample:
        """Returns the frames of a clip.

        Raises:
            DecodeError, LimitError: There are none.
            OvertimeError: There are none yet.
            CrashError: The process died.
            RuntimeError: The process did not start.
        """
        if not self._jobs:
            self._await_start()
        self._jobs += 1
        try:
            self._connection.send_bytes(decoder_process.pack_job(job))
            if not self._connection.poll(job.seconds):
                allowed = job.limits.decode_seconds
                raise OvertimeError(f"took longer than limits.decode_seconds allows, {allowed:g} s")
            answer = self._connection.recv_bytes()
        except (EOFError, ConnectionError):
            self.end()
            code = self._process.returncode
            raise CrashError(f"crashed its decoder (exit code {code})") from None
        except BaseException:
            # Else the answer would be taken for that of the next clip.
            self.end()
            raise
        return decoder_process.unpack_answer(answer)

    def _await_start(self) -> None:
        try:
            started = self._connection.poll(START_SECONDS) and self._connection.recv_bytes()
        except EOFError:
            started = False
        if not started:
            self.end()
            raise RuntimeError(
                f"a decoder did not start (exit code {self._process.returncode}); what it wrote to "
                "standard error says why"
            )

    def is_usable(self) -> bool:
        """Tells whether it can take a further clip; ends it where it should not."""
        if self._jobs >= MOST_JOBS:
            self.end()
        return self._process.poll() is None

    def end(self) -> None:
        """Ends the process, whatever it does."""
        self._connection.close()
        self._process.kill()
        self._process.wait()
