"""When the frames of a video are shown, as ffmpeg's command line finds it."""

from collections.abc import Collection, Iterator, Mapping
from fractions import Fraction

import av
from av.container import InputContainer
from av.format import Flags
from av.video.stream import VideoStream

# These containers store no presentation times, and ffmpeg does not know the order of these codecs'
# frames before it decodes them: the times that it makes up follow the order of decoding.
FORMATS_WITHOUT_PTS, CODECS_WITHOUT_PTS = {"avi", "asf"}, {"h264", "hevc"}
# Where a key frame can be gone to by its time, and how far away it has to be for that, seconds:
# packets that are nearer are read as they come.
SEEKABLE_FORMATS, SEEK_SECONDS = ("mov,", "matroska,"), 60
# In a stream whose clock may jump, how far forward, and how far back, a packet's time is a jump,
# seconds (fftools/ffmpeg_demux.c, ts_discontinuity_detect).
JUMP_AHEAD, JUMP_BACK = 10, 0.1


def is_bare(container: InputContainer) -> bool:
    """Returns whether it is a stream without times, whose frames are shown one after the other."""
    return Flags.no_timestamps in Flags(container.format.flags)


def has_times(container: InputContainer, stream: VideoStream) -> bool:
    """Tells whether the container says when frames are shown."""
    return not is_bare(container) and not (
        container.format.name in FORMATS_WITHOUT_PTS
        and stream.codec_context.codec.canonical_name in CODECS_WITHOUT_PTS
    )


def packets(container: InputContainer, stream: VideoStream) -> Iterator["av.Packet[VideoStream]"]:
    """Yields the packets of a stream, the last one empty, timed without the jumps of its clock.

    Recordings that were joined, or whose sender restarted, follow one another without a gap.
    """
    may_jump = Flags.ts_discont in Flags(container.format.flags)
    base = stream.time_base or Fraction(1)
    length = 1 / (rate(stream) * base)
    offset = 0
    last = following = Fraction(0)
    is_first = True
    for packet in container.demux(stream):
        if may_jump and packet.dts is not None:
            time = Fraction(packet.dts + offset)
            is_ahead = abs(time - following) * base > JUMP_AHEAD
            if not is_first and (is_ahead or (last - time) * base > JUMP_BACK):
                offset += round(following - time)
                time = Fraction(packet.dts + offset)
            last, following, is_first = time, time + (packet.duration or length), False
        if offset:
            packet.pts = None if packet.pts is None else packet.pts + offset
            packet.dts = None if packet.dts is None else packet.dts + offset
        yield packet


def needed_packets(
    container: InputContainer,
    stream: VideoStream,
    needed: Mapping[int, object],
    awaited: Collection[int],
) -> Iterator["av.Packet[VideoStream]"]:
    """Yields packets in order, without those that are far from a needed key frame.

    If seeking misses the key frame, decoding everything finds it.

    Args:
        needed: By the time of each key frame that is still to come.
        awaited: Times of frames whose packets follow the last key frame; both shrink meanwhile.
    """
    base = stream.time_base or Fraction(1)
    can_seek = container.format.name.startswith(SEEKABLE_FORMATS)
    at, sought = 0, None
    following: int | None = min(needed)
    while following is not None:
        if can_seek and following != sought and (following - at) * base > SEEK_SECONDS:
            # Indexes have times of decoding, which are a little earlier.
            container.seek(int(following - 1 / base), stream=stream)
            sought = following
        following = None
        for packet in packets(container, stream):
            yield packet
            at = at if packet.pts is None else packet.pts
            nearest = min(needed, default=at)
            if not awaited and nearest != sought and (nearest - at) * base > SEEK_SECONDS:
                following = nearest if can_seek else None
            if following is not None:
                break


class Clock:
    """Says when decoded frames are shown, as ffmpeg's command line does.

    Of a container's presentation and decoding times, it uses those that went
    backwards less often (libavcodec/decode.c, guess_correct_pts); a frame without any follows the
    one before it (fftools/ffmpeg_dec.c, video_frame_process).
    """

    def __init__(self, container: InputContainer, stream: VideoStream, start: float) -> None:
        self._base = stream.time_base or Fraction(1)
        self._length = 1 / (rate(stream) * self._base)
        self._is_bare = is_bare(container)
        self._without_pts = not self._is_bare and not has_times(container, stream)
        self._last_pts: int | None = None
        self._last_dts: int | None = None
        self._faulty_pts = self._faulty_dts = 0
        self._start, self._first = start, Fraction(0)
        self._next: Fraction | None = None

    def time(self, frame: av.VideoFrame) -> float:
        """Returns when the next frame of the stream starts to be shown, seconds."""
        guess = None if self._is_bare else self._guess(frame.pts, frame.dts)
        shown = Fraction(guess) if guess is not None else self._next or Fraction(0)
        if self._next is None and self._without_pts:
            # The first frame is decoded some frames before it is shown.
            self._first = shown - Fraction(self._start) / self._base
        length = self._length if self._is_bare else frame.duration or self._length
        self._next = shown + length
        return float((shown - self._first) * self._base)

    def _guess(self, pts: int | None, dts: int | None) -> int | None:
        if self._without_pts and dts is not None:
            return dts
        if dts is not None:
            self._faulty_dts += self._last_dts is not None and dts <= self._last_dts
        if pts is not None:
            self._faulty_pts += self._last_pts is not None and pts <= self._last_pts
        self._last_dts = dts if dts is not None else pts if pts is not None else self._last_dts
        self._last_pts = pts if pts is not None else dts if dts is not None else self._last_pts
        if pts is not None and (dts is None or self._faulty_pts <= self._faulty_dts):
            return pts
        return dts


def rate(stream: VideoStream) -> Fraction:
    """Returns how many frames a second a stream most likely has."""
    return stream.guessed_rate or stream.average_rate or Fraction(25)
