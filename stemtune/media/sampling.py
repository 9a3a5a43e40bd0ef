"""What is taken from a clip, whichever library decodes it, and why nothing can be taken."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stemtune.core.settings.frames import Limits

# Of a clip, where no settings say otherwise.
LIMITS = Limits(decode_seconds=120, pixels=8192 * 8192, frames=200_000, memory_mib=4096)
NO_CLIP = "cannot be decoded: it is damaged, or is no picture or video of a kind that is read here"


class DecodeError(ValueError):
    """A clip cannot be decoded; the message is the reason shown in the manifest."""


class LimitError(DecodeError):
    """A clip is past one of `extract_frames.limits`; with other limits it may be decoded."""


class UnexpectedError(DecodeError):
    """A library failed in a way of its own; another version of it may not."""


class ReadError(DecodeError):
    """The system failed to read the file, which says nothing of the clip; try again."""


@dataclass(frozen=True)
class Sample:
    """Frames taken from a clip.

    Attributes:
        frames: (n, side, side, 3), uint8, RGB.
        seconds: (n,), float, when each frame is shown, from the clip's start.
        available: How many different frames the clip had for these n; fewer than n where some are
            repeated.
        width, height: Of the clip as shown, px.
        duration: Of the clip, seconds; 0 for a still.
    """

    frames: np.ndarray
    seconds: np.ndarray
    available: int
    width: int
    height: int
    duration: float


class Span(NamedTuple):
    """A part of a clip: where it starts and ends, seconds from the clip's start."""

    start: float
    end: float


def require_few_pixels(width: int, height: int, limits: Limits) -> None:
    """Raises LimitError if frames of that size have more pixels than `limits` allow."""
    if width * height > limits.pixels:
        raise LimitError(
            f"has frames of {width} x {height} pixels; limits.pixels allows {limits.pixels} in all"
        )


def require_few_frames(frames: int, limits: Limits) -> None:
    """Raises LimitError if a clip has at least `frames` frames, more than `limits` allow."""
    if frames > limits.frames:
        raise LimitError(f"has more frames than limits.frames allows, {limits.frames}")


def middles(start: float, end: float, count: int) -> np.ndarray:
    """Returns the middles (count,) of as many equal parts of a span of time, seconds."""
    return start + (np.arange(count) + 0.5) * ((end - start) / count)


def moments(start: float, end: float, count: int, span: Span | None) -> np.ndarray:
    """Returns the moments (count,), seconds, at which frames of a clip are taken.

    Args:
        start, end: Of the clip, seconds.
        count: How many, from 1 on.
        span: The part of the clip that they are taken from; None: all of it.
    """
    if span is None:
        return middles(start, end, count)
    return middles(start + span.start, min(end, start + span.end), count)


def shown_at(starts: Sequence[float], moments: np.ndarray) -> list[int]:
    """Returns for each moment the position of the last frame that starts no later.

    Args:
        starts: When each frame starts to be shown, seconds, in rising order.
        moments: Seconds; before the first start the first frame is taken.
    """
    places = np.searchsorted(starts, moments, side="right") - 1
    return [max(0, int(place)) for place in places]
