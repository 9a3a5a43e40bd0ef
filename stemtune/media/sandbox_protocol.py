"""Messages between the sandbox and its decoders. An answer is JSON and pixels: it carries no code.

A message is its length and JSON. The descriptor of an open clip goes along with a job; the pixels
of the frames follow an answer.
"""

import json
import socket
import struct
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from stemtune.media.sampling import (
    DecodeError,
    LimitError,
    ReadError,
    Sample,
    Span,
    UnexpectedError,
)

READY = b"ready"
LENGTH = struct.Struct("<I")
# Of a decoder's words; only a broken decoder says more.
MOST_BYTES = 2**24
PROBLEMS = {kind.__name__: kind for kind in (DecodeError, LimitError, ReadError, UnexpectedError)}


class BrokenAnswerError(ValueError):
    """What came is not an answer to the job."""


@dataclass(frozen=True)
class Job:
    """Frames to be taken from a clip; see `decoding.sample_frames`.

    Attributes:
        path: Of the clip; None: its descriptor comes along.
    """

    path: str | None
    count: int
    side: int
    span: Span | None


def send_job(connection: socket.socket, job: Job, descriptor: int | None, until: float) -> None:
    """Sends a job, with the descriptor of its clip if there is one.

    Args:
        until: When it has to be sent, on the monotonic clock.

    Raises:
        TimeoutError, ConnectionError: It was not.
    """
    message = _message(vars(job))
    connection.settimeout(_left(until))
    descriptors = [] if descriptor is None else [descriptor]
    sent = socket.send_fds(connection, [message], descriptors)
    connection.sendall(message[sent:])


def receive_job(connection: socket.socket) -> tuple[Job, list[int]]:
    """Returns the next job and the descriptors that came along.

    Raises:
        EOFError: The sandbox closed the connection.
    """
    # A descriptor comes along with the first bytes.
    begin, descriptors, _, _ = socket.recv_fds(connection, LENGTH.size, 1)
    if len(begin) < LENGTH.size:
        begin += _receive(connection, LENGTH.size - len(begin))
    asked = json.loads(_receive(connection, *LENGTH.unpack(begin)))
    span = asked.pop("span")
    return Job(span=None if span is None else Span(*span), **asked), descriptors


def send_answer(connection: socket.socket, answer: Sample | DecodeError) -> None:
    """Sends the frames of a clip, or why there are none."""
    if isinstance(answer, DecodeError):
        connection.sendall(_message({"problem": str(answer), "kind": type(answer).__name__}))
        return
    said = {**vars(answer), "seconds": answer.seconds.tolist()}
    frames = said.pop("frames")
    connection.sendall(_message(said))
    connection.sendall(np.ascontiguousarray(frames).data.cast("B"))


def receive_answer(connection: socket.socket, job: Job, until: float) -> Sample:
    """Returns the frames that a decoder sends.

    Args:
        until: When all of them have to be there, on the monotonic clock.

    Raises:
        DecodeError: It sends why there are none: an error of this kind or of one of its own.
        BrokenAnswerError: It sends something else.
        TimeoutError, EOFError, ConnectionError: It sends less.
    """
    (length,) = LENGTH.unpack(_receive(connection, LENGTH.size, until))
    if length > MOST_BYTES:
        raise BrokenAnswerError(f"a message of {length} bytes")
    said = _receive(connection, length, until)
    try:
        answer = json.loads(said)
        problem = None
        if "problem" in answer:
            problem = PROBLEMS[answer["kind"]](str(answer["problem"]))
        else:
            seconds = np.array(answer.pop("seconds"), float)
            frames = np.empty((len(seconds), job.side, job.side, 3), np.uint8)
            sample = Sample(frames=frames, seconds=seconds, **answer)
    except (ValueError, TypeError, KeyError) as error:
        raise BrokenAnswerError(str(error)) from None
    if problem:
        raise problem
    if not 1 <= len(frames) <= job.count:
        raise BrokenAnswerError(f"{len(frames)} frames where {job.count} were asked for")
    _receive_into(connection, frames.data.cast("B"), until)
    return sample


def _message(content: dict[str, Any]) -> bytes:
    text = json.dumps(content).encode()
    return LENGTH.pack(len(text)) + text


def _receive(connection: socket.socket, length: int, until: float | None = None) -> bytes:
    content = bytearray(length)
    _receive_into(connection, memoryview(content), until)
    return bytes(content)


def _receive_into(connection: socket.socket, place: memoryview, until: float | None) -> None:
    while place:
        connection.settimeout(None if until is None else _left(until))
        received = connection.recv_into(place)
        if not received:
            raise EOFError("the connection was closed")
        place = place[received:]


def _left(until: float) -> float:
    """Returns the seconds that are left; a socket takes 0 for something else."""
    return max(until - time.monotonic(), 1e-3)
