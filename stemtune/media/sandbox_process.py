"""A process that decodes clips for the sandbox, which starts it and can end it.

It takes one job after the other. It limits its own memory and processor time, and ends with its
owner.

Run:    python -m stemtune.media.sandbox_process FILE_DESCRIPTOR LIMITS_AS_JSON
"""

import json
import os
import resource
import select
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from stemtune.core.settings.frames import Limits
from stemtune.media import decoding, sandbox_protocol
from stemtune.media.sampling import DecodeError, Sample
from stemtune.media.sandbox_protocol import Job

# A file in it opens the descriptor's file from its beginning, whatever its name is now.
DESCRIPTORS = Path("/proc/self/fd")


def main() -> None:
    """Answers one job after the other."""
    # Ctrl-C is for the owner, which closes the connection when it ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Ends the process where processor time is over, in the middle of a library too.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    connection = socket.socket(fileno=int(sys.argv[1]))
    # They were checked where they were set.
    limits = Limits.model_construct(**json.loads(sys.argv[2]))
    threading.Thread(target=_end_with_owner, args=[connection], daemon=True).start()
    # A core would hold pictures.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    decoding.limit_memory(limits.memory_mib)
    # The owner may be gone, or have no job for it: nobody wants to read of that.
    with suppress(EOFError, ConnectionError):
        connection.sendall(sandbox_protocol.READY)
        _answer_all(connection, limits)


def _answer_all(connection: socket.socket, limits: Limits) -> None:
    while True:
        job, descriptors = sandbox_protocol.receive_job(connection)
        signal.setitimer(signal.ITIMER_PROF, limits.decode_seconds)
        with _path(job, descriptors) as path:
            answer = _answer(path, job, limits)
        signal.setitimer(signal.ITIMER_PROF, 0)
        sandbox_protocol.send_answer(connection, answer)


def _answer(path: Path, job: Job, limits: Limits) -> Sample | DecodeError:
    try:
        return decoding.sample_frames(path, job.count, job.side, limits, job.span)
    except DecodeError as error:
        return error


@contextmanager
def _path(job: Job, descriptors: list[int]) -> Iterator[Path]:
    """Yields a path that opens the clip as often as one likes."""
    if job.path is not None:
        yield Path(job.path)
        return
    (descriptor,) = descriptors
    with os.fdopen(descriptor, "rb") as file:
        path = DESCRIPTORS / str(descriptor)
        if path.exists():
            yield path
            return
        # macOS has none.
        with tempfile.NamedTemporaryFile(prefix="stemtune-") as copy:
            file.seek(0)
            shutil.copyfileobj(file, copy)
            copy.flush()
            yield Path(copy.name)


def _end_with_owner(connection: socket.socket) -> None:
    watch = select.poll()
    # That the other side is gone is reported unasked.
    watch.register(connection, 0)
    watch.poll()
    os._exit(1)


if __name__ == "__main__":
    main()
