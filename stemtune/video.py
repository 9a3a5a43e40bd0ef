"""Decodes clips with PyAV and samples their frames uniformly in time."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import av.error
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

# A change here that changes pixels has to change this, so that shards are not reused.
DECODER_VERSION = "1"
# Exact rounding gives the same pixels on every processor, and costs nothing measurable.
SCALING = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT


class VideoError(ValueError):
    """A clip cannot be decoded; the message is the reason shown in the manifest."""


@dataclass(frozen=True)
class Sample:
    """Frames taken from a clip.

    Attributes:
        frames: (n, side, side, 3), uint8, RGB.
        seconds: (n,), float, when each frame is shown, from the clip's start.
        width, height: Of the clip as stored, px.
        duration: Of the clip, seconds.
    """

    frames: np.ndarray
    seconds: np.ndarray
    width: int
    height: int
    duration: float


def sample_frames(path: Path, count: int, side: int) -> Sample:
    """Returns the frames shown in the middle of `count` equal parts of a clip's duration.

    A clip with fewer frames than that gives all of its number; a still image gives one. The whole
    frame is scaled to the square: nothing at the border is lost. Rotation metadata are applied.

    Raises:
        VideoError: The file is no video, has no frames, or is damaged.
    """
    try:
        start, end, total = _time_range(path)
        count = min(count, total)
        targets = start + (np.arange(count) + 0.5) * ((end - start) / count)
        reformatter = VideoReformatter()
        frames, seconds, size = [], [], (0, 0)
        for frame, time in _shown_at(path, targets):
            scaled = reformatter.reformat(frame, side, side, "rgb24", interpolation=SCALING)
            frames.append(np.rot90(scaled.to_ndarray(), round(frame.rotation / 90)))
            seconds.append(max(0.0, time - start))
            size = (frame.width, frame.height)
    except (av.error.FFmpegError, OSError) as error:
        reason = str(error).replace(str(path), path.name)
        raise VideoError(f"cannot be decoded: {reason}") from error
    if len(frames) != count:
        raise VideoError(f"gave {len(frames)} of {count} frames; the file seems to be cut off")
    return Sample(np.stack(frames), np.array(seconds), *size, duration=end - start)


def _time_range(path: Path) -> tuple[float, float, int]:
    """Returns start and end in seconds, and the number of frames, from the packets alone."""
    with av.open(str(path)) as container:
        if not container.streams.video:
            raise VideoError("has no video stream")
        stream = container.streams.video[0]
        packets = [
            (packet.pts, packet.duration or 0)
            for packet in container.demux(stream)
            if packet.size and packet.pts is not None and not packet.is_discard
        ]
        if not packets:
            raise VideoError("has no frames")
        base = float(stream.time_base or 1)
    start = min(pts for pts, _ in packets)
    end = max(pts + duration for pts, duration in packets)
    return start * base, end * base, len(packets)


def _shown_at(path: Path, targets: np.ndarray) -> Iterator[tuple[av.VideoFrame, float]]:
    """Yields, for each time in ascending order, the last frame that starts no later.

    Every frame is decoded, for later ones build on it; only those asked for are converted, which
    costs more than decoding.
    """
    waiting = list(targets)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        shown = None
        for frame in container.decode(stream):
            time = frame.time or 0.0
            while shown is not None and waiting and waiting[0] < time:
                yield shown
                waiting.pop(0)
            if not waiting:
                return
            shown = frame, time
        while shown is not None and waiting:
            yield shown
            waiting.pop(0)
