"""A process that decodes clips for another one, which can end it; `decoder_pool` starts it.

It takes a job after the other from a connection until the other side closes it. What it answers is
an archive of arrays, in which no code can hide.

Run:    python -m stemtune.serving.decoder_process FILE_DESCRIPTOR
"""

import io
import json
import signal
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from stemtune.core.settings.frames import Limits
from stemtune.media import decoding
from stemtune.media.sampling import DecodeError, LimitError, Sample, Span

# How much longer than its owner waits for it, so that one without an owner ends by itself.
GRACE_SECONDS = 5
READY = b"ready"


@dataclass(frozen=True)
class Job:
    """Frames to be taken from a clip; see `decoding.sample_frames`.

    Attributes:
        seconds: How long that may take.
    """

    path: str
    count: int
    side: int
    limits: Limits
    span: Span | None
    seconds: float


def pack_job(job: Job) -> bytes:
    """Returns a job as JSON."""
    return json.dumps({**vars(job), "limits": job.limits.model_dump()}).encode()


def unpack_answer(answer: bytes) -> Sample:
    """Returns the frames that a decoder answered.

    Raises:
        DecodeError, LimitError: It answered why there are none.
    """
    with np.load(io.BytesIO(answer), allow_pickle=False) as arrays:
        if "problem" in arrays:
            problem = str(arrays["problem"])
            raise LimitError(problem) if arrays["is_limit"] else DecodeError(problem)
        frames, seconds = arrays["frames"], arrays["seconds"]
        available, width, height = (int(arrays[name]) for name in ("available", "width", "height"))
        return Sample(frames, seconds, available, width, height, float(arrays["duration"]))


def main() -> None:
    """Answers one job after the other."""
    # Ctrl-C is for the owner, which closes the connection when it ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(int(sys.argv[1]))
    connection.send_bytes(READY)
    while True:
        try:
            asked = json.loads(connection.recv_bytes())
        except EOFError:
            return
        span, limits = asked.pop("span"), Limits(**asked.pop("limits"))
        job = Job(limits=limits, span=None if span is None else Span(*span), **asked)
        signal.setitimer(signal.ITIMER_REAL, job.seconds + GRACE_SECONDS)
        connection.send_bytes(_answer(job))
        signal.setitimer(signal.ITIMER_REAL, 0)


def _answer(job: Job) -> bytes:
    decoding.limit_memory(job.limits.memory_mib)
    answer = io.BytesIO()
    try:
        sample = decoding.sample_frames(Path(job.path), job.count, job.side, job.limits, job.span)
    except DecodeError as error:
        np.savez(answer, problem=str(error), is_limit=isinstance(error, LimitError))
    else:
        np.savez(answer, **vars(sample))
    return answer.getvalue()


if __name__ == "__main__":
    main()
