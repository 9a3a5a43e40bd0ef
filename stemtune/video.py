"""Decodes clips with PyAV and samples their frames uniformly in time, as ffmpeg itself would."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import NamedTuple, cast

import av
import av.error
import numpy as np
from av.buffer import Buffer
from av.container import InputContainer
from av.filter import Graph
from av.video.stream import VideoStream

from stemtune.params import Limits

# A change here that changes pixels has to change this, so that shards are not reused.
DECODER_VERSION = "2"
# Exact rounding gives the same pixels on every processor, and costs nothing measurable.
SCALING = "bilinear+accurate_rnd+bitexact"
# Playlists and references that lead to other files, or into the network, are not followed.
NO_OTHER_FILES = {"protocol_whitelist": "none"}
# Text that ffmpeg would render as the screen of a terminal.
TEXT_FORMATS = {"tty", "bin", "xbin", "adf", "idf"}
STILL_FORMATS = ("_pipe", "image2")
# Pictures in the container of MPEG-4 (ISO 23008-12).
STILL_BRANDS = {"avif", "heic", "heix", "mif1"}


class VideoError(ValueError):
    """A clip cannot be decoded; the message is the reason shown in the manifest."""


class LimitError(VideoError):
    """A clip is past one of `extract_frames.limits`; with other limits it may be decoded."""


@dataclass(frozen=True)
class Sample:
    """Frames taken from a clip.

    Attributes:
        frames: (n, side, side, 3), uint8, RGB.
        seconds: (n,), float, when each frame is shown, from the clip's start.
        available: How many different frames the clip had for these n; fewer than n where some are
            repeated.
        width, height: Of the clip as shown, px.
        duration: Of the clip, seconds.
    """

    frames: np.ndarray
    seconds: np.ndarray
    available: int
    width: int
    height: int
    duration: float


class _Timeline(NamedTuple):
    """What the packets of a video stream say: start and end, seconds, and how many they are."""

    start: float
    end: float
    packets: int
    still: bool


def sample_frames(path: Path, count: int, side: int, limits: Limits) -> Sample:
    """Returns the frames shown in the middle of `count` equal parts of a clip's duration.

    A frame is shown until the next one starts, so that a clip with fewer frames repeats some. A
    still image gives one. The whole frame is scaled to the square: nothing at the border is lost.
    Rotation and mirroring metadata are applied.

    Raises:
        VideoError: The file is no video, has no frames, or is damaged.
        LimitError: It has more pixels or frames, or takes more memory, than `limits` allow.
    """
    try:
        timeline = _timeline(path, limits)
        count = 1 if timeline.still else count
        part = (timeline.end - timeline.start) / count
        targets = timeline.start + (np.arange(count) + 0.5) * part
        converter = _Converter(side)
        frames, seconds = [], []
        for frame, time in _shown_at(path, targets, limits):
            frames.append(converter.convert(frame))
            seconds.append(max(0.0, time - timeline.start))
    except MemoryError as error:
        raise LimitError(
            f"takes more memory than limits.memory allows, {limits.memory} MiB"
        ) from error
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(f"cannot be decoded: {error.strerror}") from error
    if not frames:
        raise VideoError("cannot be decoded: none of its frames is whole")
    return Sample(
        np.stack(frames),
        np.array(seconds),
        min(count, timeline.packets),
        *converter.size_shown,
        duration=timeline.end - timeline.start,
    )


def scale(frames: np.ndarray, side: int) -> np.ndarray:
    """Scales frames (n, h, w, 3), uint8, RGB, n from 1 on, to squares as `sample_frames` does."""
    converter = _Converter(side)
    pictures = (av.VideoFrame.from_ndarray(frame, format="rgb24") for frame in frames)
    return np.stack([converter.convert(picture) for picture in pictures])


@contextmanager
def _opened(path: Path, limits: Limits) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Yields the container and its main video stream, decoded by one thread.

    The file is handed over open and without its name, so that it is judged by its content alone:
    a name may be a pattern (`%03d.png`) or a protocol (`concat:…`) to ffmpeg.
    """
    options = NO_OTHER_FILES | {"max_pixels": str(limits.pixels)}
    with FileIO(path) as file:
        file.name = ""
        with av.open(file, "r", options=options) as container:
            yield container, _video_stream(container, limits)


def _video_stream(container: InputContainer, limits: Limits) -> VideoStream:
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or container.format.name in TEXT_FORMATS:
        raise VideoError("has no video stream")
    if stream.disposition & stream.disposition.attached_pic:
        raise VideoError("has no video stream, only a cover picture")
    pixels = stream.width * stream.height
    if not pixels:
        raise LimitError(
            "has frames of unknown size, or of more pixels than limits.pixels allows, "
            f"{limits.pixels}"
        )
    if pixels > limits.pixels:
        raise LimitError(
            f"has frames of {stream.width} x {stream.height} pixels; limits.pixels allows "
            f"{limits.pixels} in all"
        )
    stream.codec_context.thread_count = 1
    if container.format.name.endswith(STILL_FORMATS):
        # Else half a picture would be given, and the rest grey.
        stream.codec_context.options = {"err_detect": "explode"}
    return stream


def _timeline(path: Path, limits: Limits) -> _Timeline:
    """Reads start, end and length of a clip from its packets, without decoding.

    Raises:
        VideoError: It has no frames.
        LimitError: It has more frames than allowed.
    """
    start = end = None
    packets = 0
    with _opened(path, limits) as (container, stream):
        for packet in container.demux(stream):
            if not packet.size or packet.is_discard:
                continue
            packets += 1
            if packets > limits.frames:
                raise LimitError(f"has more frames than limits.frames allows, {limits.frames}")
            # Some containers time the decoding only, which spans the same range.
            shown = packet.pts if packet.pts is not None else packet.dts
            if shown is not None:
                start = shown if start is None else min(start, shown)
                until = shown + (packet.duration or 0)
                end = until if end is None else max(end, until)
        if not packets:
            raise VideoError("has no frames")
        still = _is_still(container, packets)
        if start is None or end is None:
            # A bare stream has no times: its frames are shown one after the other.
            return _Timeline(0.0, packets / _rate(stream), packets, still)
        base = float(stream.time_base or 1)
        return _Timeline(start * base, end * base, packets, still)


def _is_still(container: InputContainer, packets: int) -> bool:
    name = container.format.name
    return (
        name.endswith(STILL_FORMATS)
        or container.metadata.get("major_brand") in STILL_BRANDS
        or (packets == 1 and name in ("gif", "apng"))
    )


def _shown_at(
    path: Path, targets: np.ndarray, limits: Limits
) -> Iterator[tuple[av.VideoFrame, float]]:
    """Yields, for each time in ascending order, the last frame that starts no later, and when.

    Every frame is decoded, for later ones build on it; only those asked for are converted, which
    can cost more than decoding.
    """
    waiting = list(targets)
    with _opened(path, limits) as (container, stream):
        shown = None
        for position, frame in enumerate(container.decode(stream)):
            time = frame.time if frame.time is not None else position / _rate(stream)
            while shown is not None and waiting and waiting[0] < time:
                yield shown
                waiting.pop(0)
            if not waiting:
                return
            if frame.is_corrupt:
                raise VideoError(f"is damaged at {time:.2f} s")
            shown = frame, time
        while shown is not None and waiting:
            yield shown
            waiting.pop(0)


def _rate(stream: VideoStream) -> float:
    return float(stream.average_rate or stream.guessed_rate or 25)


class _Converter:
    """Turns decoded frames into RGB squares with ffmpeg's own filters.

    They know where a format places its colour samples, its range and matrix, its fields and its
    rotation; one graph serves all frames of a clip. The same pixels as the command line gives.
    """

    def __init__(self, side: int) -> None:
        self._side = side
        self._graph: Graph | None = None
        self._kind: tuple[object, ...] = ()
        self.size_shown = (0, 0)

    def convert(self, frame: av.VideoFrame) -> np.ndarray:
        """Returns a frame as (side, side, 3), uint8, RGB."""
        turns = _turns(frame)
        kind = (frame.width, frame.height, frame.format.name, tuple(turns))
        if self._graph is None or kind != self._kind:
            self._graph, self._kind = self._build(frame, turns), kind
            turned = any(name == "transpose" for name, _ in turns)
            size = (frame.width, frame.height)
            self.size_shown = size[::-1] if turned else size
        self._graph.vpush(frame)
        return self._graph.vpull().to_ndarray()

    def _build(self, frame: av.VideoFrame, turns: list[tuple[str, str | None]]) -> Graph:
        graph = Graph()
        graph.threads = 1
        last = graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=frame.time_base,
        )
        scale = ("scale", f"{self._side}:{self._side}:flags={SCALING}")
        for name, arguments in [*turns, scale, ("format", "rgb24"), ("buffersink", None)]:
            step = graph.add(name, arguments)
            last.link_to(step)
            last = step
        graph.configure()
        return graph


def _turns(frame: av.VideoFrame) -> list[tuple[str, str | None]]:
    """Returns the filters that turn a frame the way its display matrix asks for.

    The cases are those of ffmpeg's command line (fftools/ffmpeg_filter.c).
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return []
    matrix = np.frombuffer(bytes(cast(Buffer, data)), np.int32).astype(float)
    # The rotation of av_display_rotation_get, clockwise, in [0, 360).
    lengths = np.hypot(matrix[0], matrix[3]), np.hypot(matrix[1], matrix[4])
    if not all(lengths):
        return []
    sine, cosine = matrix[1] / lengths[1], matrix[0] / lengths[0]
    angle = round(float(np.degrees(np.arctan2(sine, cosine)))) % 360
    match angle:
        case 0:
            return [("vflip", None)] if matrix[4] < 0 else []
        case 90:
            return [("transpose", "cclock_flip" if matrix[3] > 0 else "clock")]
        case 180:
            flips: list[tuple[str, str | None]] = []
            flips += [("hflip", None)] if matrix[0] < 0 else []
            flips += [("vflip", None)] if matrix[4] < 0 else []
            return flips
        case 270:
            return [("transpose", "clock_flip" if matrix[3] < 0 else "cclock")]
        case _:
            return [("rotate", f"{angle}*PI/180")]
