"""Decodes videos with PyAV and samples their frames uniformly in time, as ffmpeg itself would."""

import bisect
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from stemtune.core.settings.frames import Limits
from stemtune.media import clock, containers, presentation, sampling
from stemtune.media.containers import Source
from stemtune.media.sampling import DecodeError, Sample, Span
from stemtune.media.scaling import Converter

# Where packets tell when frames are shown and from which ones decoding can start. Elsewhere each
# packet counts as a key frame (H.263, RPZA and others), or the first one carries what all need
# (palettes), and everything is decoded.
TRUSTED_FORMATS = ("mov,", "matroska,", "mpegts", "flv")
TRUSTED_CODECS = {"h264", "hevc", "av1", "vp8", "vp9", "mpeg2video", "mpeg4"}
# Codecs without predicted frames, in any container.
INTRA_CODECS = {"mjpeg", "prores", "dnxhd", "dvvideo", "jpeg2000", "huffyuv", "utvideo", "cfhd"}
# A message in a stream of these may turn frames, from where it stands on.
TURNING_CODECS = {"h264", "hevc"}


class _Timeline(NamedTuple):
    """What the packets of a video stream say.

    Attributes:
        start, end: Of the stream, seconds.
        packets: How many they are.
        still: Whether it is a picture.
        times: When the frames are shown, in rising order, in units of the stream.
        keys: When those are shown from which decoding can start; some are discarded.
        base: Seconds of a unit.
        is_trusted: Whether times and keys are those of the frames.
        is_cut: Whether the first frames may build on others that are not there.
    """

    start: float
    end: float
    packets: int
    still: bool
    times: list[int]
    keys: list[int]
    base: Fraction
    is_trusted: bool
    is_cut: bool


# The timeline of the last file: the parts of a long video are asked for one after the other.
_last: dict[tuple[int, ...], _Timeline] = {}


def sample(
    source: Source, count: int, side: int, limits: Limits, span: Span | None = None
) -> Sample:
    """Returns the frames shown at the middle of `count` equal spans of a video.

    Args:
        source: The video.
        count: How many frames to take, from 1 on; of a still one is taken.
        side: Of the squares that they are scaled to, px.
        limits: Of pixels and frames; the caller limits seconds and memory.
        span: The part of the video that frames are taken from; None: all of it.

    Raises:
        DecodeError: The file is no video, has no frames, or is damaged.
        LimitError: It has more pixels or frames than `limits` allow.
        av.error.FFmpegError: ffmpeg cannot read it.
    """
    file = os.fstat(source.file.fileno())
    key = (file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns)
    if key not in _last:
        timeline = _timeline(source, limits)
        if timeline.is_cut:
            timeline = _from_first_shown(source, timeline, limits)
        _last.clear()
        _last[key] = timeline
    timeline = _last[key]
    count = 1 if timeline.still else count
    moments = sampling.moments(timeline.start, timeline.end, count, span)
    shower = _Shower(side)
    taken = _pick(source, moments, timeline, shower, limits)
    if not taken:
        taken = [
            (shower.show(frame, angle), time)
            for frame, time, angle in _decode_all(source, moments, timeline, limits, shower)
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

    def show(self, frame: av.VideoFrame, angle: int) -> np.ndarray:
        steps, self.size = self.presentation.steps(frame, angle)
        return self._converter.convert(frame, steps)


def _timeline(source: Source, limits: Limits) -> _Timeline:
    """Reads start, end and length of a clip from its packets, without decoding.

    Raises:
        DecodeError: It has no frames.
    """
    start = end = None
    packets, complete, is_cut = 0, True, False
    times: list[int] = []
    keys: list[int] = []
    with containers.opened(source, limits) as (container, stream):
        for number, packet in enumerate(clock.packets(container, stream)):
            if not packet.size:
                continue
            is_cut = is_cut or (number == 0 and not packet.is_keyframe)
            complete = complete and packet.pts is not None
            if packet.is_keyframe and packet.pts is not None:
                keys.append(packet.pts)
            if packet.is_discard:
                continue
            packets += 1
            # Some containers time the decoding only, which spans the same range.
            shown = packet.pts if packet.pts is not None else packet.dts
            if shown is not None:
                times.append(shown)
                start = shown if start is None else min(start, shown)
                until = shown + (packet.duration or 0)
                end = until if end is None else max(end, until)
        if not packets:
            raise DecodeError("has no frames")
        still = containers.is_still(container)
        base = stream.time_base or Fraction(1)
        is_trusted = complete and len(set(times)) == len(times) and _is_trusted(container, stream)
        if start is None or end is None or clock.is_bare(container):
            length = float(packets / clock.rate(stream))
            return _Timeline(0.0, length, packets, still, [], [], base, False, is_cut)
        if keys and clock.has_times(container, stream):
            is_cut = is_cut or start < min(keys)
        return _Timeline(
            start * float(base),
            end * float(base),
            packets,
            still,
            sorted(times),
            sorted(keys),
            base,
            is_trusted,
            is_cut,
        )


def _from_first_shown(source: Source, timeline: _Timeline, limits: Limits) -> _Timeline:
    """Returns the timeline without the frames at its start that cannot be decoded.

    This happens if a stream was cut within a group of frames: the first one is missing.
    """
    with containers.opened(source, limits) as (container, stream):
        if not clock.has_times(container, stream):
            sampling.require_few_frames(timeline.packets, limits)
            frames = sum(1 for _ in _frames(container, stream, is_cut=True))
            end = timeline.start + float(frames / clock.rate(stream))
            return timeline._replace(end=end, packets=frames)
        times = clock.Clock(container, stream, timeline.start)
        frame = next(_frames(container, stream, is_cut=True), None)
        if frame is None:
            return timeline
        start = times.time(frame)
    kept = [time for time in timeline.times if float(time * timeline.base) >= start]
    lost = len(timeline.times) - len(kept)
    return timeline._replace(start=start, times=kept, packets=timeline.packets - lost)


def _frames(
    container: InputContainer, stream: VideoStream, is_cut: bool
) -> Iterator[av.VideoFrame]:
    """Yields all frames of a stream; of one that is cut, from the first that can be decoded."""
    for packet in clock.packets(container, stream):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            if is_cut:
                continue
            raise
        except av.error.PermissionError:
            # A header of Theora, which begins the next of several joined recordings.
            continue
        is_cut = is_cut and not frames
        yield from frames


def _is_trusted(container: InputContainer, stream: VideoStream) -> bool:
    """Tells whether packets say when their frames are shown, and which are key frames."""
    codec = stream.codec_context.codec.canonical_name
    return codec in INTRA_CODECS or (
        codec in TRUSTED_CODECS and container.format.name.startswith(TRUSTED_FORMATS)
    )


def _pick(
    source: Source, moments: np.ndarray, timeline: _Timeline, shower: _Shower, limits: Limits
) -> list[tuple[np.ndarray, float]]:
    """Returns, for each moment, the last frame that starts no later, converted, and when.

    Packets say which frames these are, so only these and those that they build on are decoded.
    Empty if packets say too little or are wrong, or if a frame cannot be decoded: decoding
    everything then tells what is wrong.
    """
    if not timeline.is_trusted:
        return []
    seconds = [float(time * timeline.base) for time in timeline.times]
    chosen = [timeline.times[place] for place in sampling.shown_at(seconds, moments)]
    frames: dict[int | None, np.ndarray] = {}
    try:
        for frame in _decode_chosen(source, set(chosen), timeline, limits, shower):
            frames[frame.pts] = shower.show(frame, presentation.angle(frame))
    except av.error.InvalidDataError:
        return []
    if not set(chosen) <= set(frames):
        return []
    return [(frames[time], float(time * timeline.base)) for time in chosen]


def _decode_chosen(
    source: Source, chosen: set[int], timeline: _Timeline, limits: Limits, shower: _Shower
) -> Iterator[av.VideoFrame]:
    """Yields the frames of these times, decoding from the key frame before each.

    Not all of them where one that was decoded is damaged, where what a packet calls a key frame is
    none, or where the stream itself turns frames.
    """
    needed: dict[int, set[int]] = {}
    for time in chosen:
        before = bisect.bisect_right(timeline.keys, time)
        if not before:
            return
        needed.setdefault(timeline.keys[before - 1], set()).add(time)
    awaited: set[int] = set()
    with containers.opened(source, limits) as (container, stream):
        shower.presentation = presentation.of_stream(stream)
        context = stream.codec_context
        may_turn = context.codec.canonical_name in TURNING_CODECS
        if may_turn:
            # The message stands at the first.
            needed.setdefault(timeline.keys[0], set()).add(timeline.keys[0])
        begins = True
        for packet in clock.needed_packets(container, stream, needed, awaited):
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
                if may_turn and presentation.angle(frame) != shower.presentation.angle:
                    return
                begins = False
                if frame.pts in chosen:
                    frame.time_base = timeline.base
                    yield frame
            begins = begins or ends
            if ends and not needed:
                return


def _decode_all(
    source: Source, moments: np.ndarray, timeline: _Timeline, limits: Limits, shower: _Shower
) -> Iterator[tuple[av.VideoFrame, float, int]]:
    """Yields, for each moment in ascending order, the last frame that starts no later.

    With it come its start, seconds, and the clockwise turn that it, or the last frame that told
    one, asks for, degrees. Every frame is decoded, only those asked for are converted.
    """
    sampling.require_few_frames(timeline.packets, limits)
    waiting = list(moments)
    with containers.opened(source, limits) as (container, stream):
        shower.presentation = presentation.of_stream(stream)
        times = clock.Clock(container, stream, timeline.start)
        shown, angle = None, 0
        for frame in _frames(container, stream, timeline.is_cut):
            time, angle = times.time(frame), presentation.angle(frame) or angle
            while shown is not None and waiting and waiting[0] < time:
                yield shown
                waiting.pop(0)
            if not waiting:
                return
            if frame.is_corrupt:
                raise DecodeError(f"is damaged at {time:.2f} s")
            shown = frame, time, angle
        while shown is not None and waiting:
            yield shown
            waiting.pop(0)
