"""Decodes videos with PyAV and samples their frames uniformly in time, as ffmpeg itself would."""

import bisect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from stemtune.core.settings.frames import Limits
from stemtune.media import clock, presentation, sampling
from stemtune.media.sampling import DecodeError, Sample, Span
from stemtune.media.scaling import Converter

# Playlists and references that lead to other files, or into the network, are not followed.
NO_OTHER_FILES = {"protocol_whitelist": "none"}
# Text that ffmpeg would render as the screen of a terminal.
TEXT_FORMATS = {"tty", "bin", "xbin", "adf", "idf"}
# Pictures that `stills` leaves to ffmpeg.
STILL_FORMATS = ("_pipe", "image2")
# Where packets tell when frames are shown and from which ones decoding can start. Elsewhere each
# packet counts as a key frame (H.263, RPZA and others), or the first one carries what all need
# (palettes), and everything is decoded.
TRUSTED_FORMATS = ("mov,", "matroska,", "mpegts", "flv")
TRUSTED_CODECS = {"h264", "hevc", "av1", "vp8", "vp9", "mpeg2video", "mpeg4"}
# Each frame of these stands for itself, in any container.
INTRA_CODECS = {"mjpeg", "prores", "dnxhd", "dvvideo", "jpeg2000", "huffyuv", "utvideo", "cfhd"}
# Where one JPEG ends and the next begins; in a stream of them often, in a photograph with a further
# picture behind it once.
BETWEEN_JPEGS, PROBED = b"\xff\xd9\xff\xd8\xff", 2**22


class _Timeline(NamedTuple):
    """What the packets of a video stream say.

    Attributes:
        start, end: Of the stream, seconds.
        packets: How many they are.
        still: Whether it is a picture.
        times: When the frames are shown, in rising order, in units of the stream; empty where
            packets do not tell.
        keys: Of those, the frames from which decoding can start; some are never shown.
        base: Seconds of a unit.
    """

    start: float
    end: float
    packets: int
    still: bool
    times: list[int]
    keys: list[int]
    base: Fraction


def is_jpeg_stream(path: Path) -> bool:
    """Tells whether a file is a bare stream of JPEGs, a video that is no picture."""
    with path.open("rb") as file:
        begin = file.read(2)
        if begin != BETWEEN_JPEGS[2:4]:
            return False
        return (begin + file.read(PROBED)).count(BETWEEN_JPEGS) > 1


def sample(path: Path, count: int, side: int, limits: Limits, span: Span | None = None) -> Sample:
    """Returns the frames shown in the middle of `count` equal parts of a video's duration.

    Args:
        path: Of the video.
        count: How many frames to take, from 1 on; of a still one is taken.
        side: Of the squares that they are scaled to, px.
        limits: Of pixels and frames; the caller limits seconds and memory.
        span: The part of the video that frames are taken from; None: all of it.

    Raises:
        DecodeError: The file is no video, has no frames, or is damaged.
        LimitError: It has more pixels or frames than `limits` allow.
        av.error.FFmpegError: ffmpeg cannot read it.
    """
    timeline = _timeline(path, limits)
    count = 1 if timeline.still else count
    moments = sampling.moments(timeline.start, timeline.end, count, span)
    shower = _Shower(side)
    taken = _pick(path, moments, timeline, shower, limits)
    if not taken:
        taken = [
            (shower.show(frame), time)
            for frame, time in _decode_all(path, moments, timeline, limits, shower)
        ]
    if not taken:
        raise DecodeError("cannot be decoded: none of its frames is whole")
    return Sample(
        np.stack([frame for frame, _ in taken]),
        np.array([max(0.0, time - timeline.start) for _, time in taken]),
        min(count, timeline.packets),
        *shower.size,
        duration=0.0 if timeline.still else timeline.end - timeline.start,
    )


class _Shower:
    """Turns decoded frames of one clip into squares, cropped and turned as the clip asks for."""

    def __init__(self, side: int) -> None:
        self._converter = Converter(side)
        self.presentation = presentation.Presentation()
        self.size = (0, 0)

    def show(self, frame: av.VideoFrame) -> np.ndarray:
        steps, self.size = self.presentation.steps(frame)
        return self._converter.convert(frame, steps)


@contextmanager
def _opened(path: Path, limits: Limits) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Yields the container and its main video stream, decoded by one thread.

    The file is handed over open and without its name, so that it is judged by its content alone:
    a name may be a pattern (`%03d.png`) or a protocol (`concat:…`) to ffmpeg.
    """
    with _container(path, NO_OTHER_FILES | {"max_pixels": str(limits.pixels)}) as container:
        stream = _video_stream(container)
        if not stream.width * stream.height:
            # ffmpeg hides the size of what has more pixels than `max_pixels`.
            with _container(path, NO_OTHER_FILES) as unlimited:
                hidden = _video_stream(unlimited)
                sampling.require_few_pixels(hidden.width, hidden.height, limits)
            raise DecodeError("cannot be decoded: ffmpeg does not tell the size of its frames")
        sampling.require_few_pixels(stream.width, stream.height, limits)
        stream.codec_context.thread_count = 1
        if container.format.name.endswith(STILL_FORMATS):
            # Else half a picture would be given, and the rest grey.
            stream.codec_context.options = {"err_detect": "explode"}
        yield container, stream


@contextmanager
def _container(path: Path, options: dict[str, str]) -> Iterator[InputContainer]:
    # Without a name ffmpeg takes a stream of JPEGs for the first one.
    kind = "mjpeg" if is_jpeg_stream(path) else None
    with FileIO(path) as file:
        file.name = ""
        with av.open(file, "r", kind, options=options, metadata_errors="replace") as container:
            yield container


def _video_stream(container: InputContainer) -> VideoStream:
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream) or container.format.name in TEXT_FORMATS:
        raise DecodeError("has no video stream")
    if stream.disposition & stream.disposition.attached_pic:
        raise DecodeError("has no video stream, only a cover picture")
    if stream.codec_context is None:
        raise DecodeError("cannot be decoded: there is no decoder for its codec")
    return stream


def _timeline(path: Path, limits: Limits) -> _Timeline:
    """Reads start, end and length of a clip from its packets, without decoding.

    Raises:
        DecodeError: It has no frames.
        LimitError: It has more frames than allowed.
    """
    start = end = None
    packets, complete = 0, True
    times: list[int] = []
    keys: list[int] = []
    with _opened(path, limits) as (container, stream):
        for packet in container.demux(stream):
            if not packet.size:
                continue
            complete = complete and packet.pts is not None
            if packet.is_keyframe and packet.pts is not None:
                keys.append(packet.pts)
            if packet.is_discard:
                continue
            packets += 1
            sampling.require_few_frames(packets, limits)
            # Some containers time the decoding only, which spans the same range.
            shown = packet.pts if packet.pts is not None else packet.dts
            if shown is not None:
                times.append(shown)
                start = shown if start is None else min(start, shown)
                until = shown + (packet.duration or 0)
                end = until if end is None else max(end, until)
        if not packets:
            raise DecodeError("has no frames")
        still = container.format.name.endswith(STILL_FORMATS)
        base = stream.time_base or Fraction(1)
        seconds = float(base)
        if start is None or end is None or clock.is_bare(container):
            length = float(packets / clock.rate(stream))
            return _Timeline(0.0, length, packets, still, [], [], base)
        if not complete or len(set(times)) < len(times) or not _is_trusted(container, stream):
            times = []
        return _Timeline(
            start * seconds, end * seconds, packets, still, sorted(times), sorted(keys), base
        )


def _is_trusted(container: InputContainer, stream: VideoStream) -> bool:
    """Tells whether packets say when their frames are shown, and which are key frames."""
    codec = stream.codec_context.codec.canonical_name
    return codec in INTRA_CODECS or (
        codec in TRUSTED_CODECS and container.format.name.startswith(TRUSTED_FORMATS)
    )


def _pick(
    path: Path, moments: np.ndarray, timeline: _Timeline, shower: _Shower, limits: Limits
) -> list[tuple[np.ndarray, float]]:
    """Returns, for each moment, the last frame that starts no later, converted, and when.

    Packets say which frames these are, so that no others need be decoded than those that they
    build on. Empty where packets say too little, where frames come otherwise than they say, and
    where one cannot be decoded: decoding everything then tells what is wrong.
    """
    if not timeline.times:
        return []
    seconds = [float(time * timeline.base) for time in timeline.times]
    chosen = [timeline.times[place] for place in sampling.shown_at(seconds, moments)]
    frames: dict[int | None, np.ndarray] = {}
    try:
        for frame in _decode_chosen(path, set(chosen), timeline, limits, shower):
            frames[frame.pts] = shower.show(frame)
    except av.error.InvalidDataError:
        return []
    if not set(chosen) <= set(frames):
        return []
    return [(frames[time], float(time * timeline.base)) for time in chosen]


def _decode_chosen(
    path: Path, chosen: set[int], timeline: _Timeline, limits: Limits, shower: _Shower
) -> Iterator[av.VideoFrame]:
    """Yields the frames of these times, decoding from the key frame before each.

    Not all of them where one that was decoded is damaged, or where what a packet calls a key frame
    is none.
    """
    needed: dict[int, set[int]] = {}
    for time in chosen:
        before = bisect.bisect_right(timeline.keys, time)
        if not before:
            return
        needed.setdefault(timeline.keys[before - 1], set()).add(time)
    awaited: set[int] = set()
    with _opened(path, limits) as (container, stream):
        shower.presentation = presentation.of_stream(stream)
        context = stream.codec_context
        begins = True
        for packet in container.demux(stream):
            if packet.is_keyframe and packet.pts in needed:
                awaited |= needed.pop(packet.pts)
            if not awaited:
                continue
            # No other frame builds on those that are left out.
            context.skip_frame = "DEFAULT" if packet.pts in awaited else "NONREF"
            frames: Sequence[av.VideoFrame] = packet.decode()
            awaited.discard(packet.pts)
            ends = not awaited
            if ends:
                frames = [*frames, *context.decode(None)]
                context.flush_buffers()
            for frame in frames:
                if frame.is_corrupt or (begins and not frame.key_frame):
                    return
                begins = False
                if frame.pts in chosen:
                    frame.time_base = timeline.base
                    yield frame
            begins = begins or ends
            if ends and not needed:
                return


def _decode_all(
    path: Path, moments: np.ndarray, timeline: _Timeline, limits: Limits, shower: _Shower
) -> Iterator[tuple[av.VideoFrame, float]]:
    """Yields, for each moment in ascending order, the last frame that starts no later, and when.

    Every frame is decoded, only those asked for are converted.
    """
    waiting = list(moments)
    with _opened(path, limits) as (container, stream):
        shower.presentation = presentation.of_stream(stream)
        times = clock.Clock(container, stream, timeline.start)
        shown = None
        for frame in container.decode(stream):
            time = times.time(frame)
            while shown is not None and waiting and waiting[0] < time:
                yield shown
                waiting.pop(0)
            if not waiting:
                return
            if frame.is_corrupt:
                raise DecodeError(f"is damaged at {time:.2f} s")
            shown = frame, time
        while shown is not None and waiting:
            yield shown
            waiting.pop(0)
