"""Opens the main video stream of a file, and reads its packets as ffmpeg's command line does."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from typing import NamedTuple

import av
import av.error
from av.codec.context import Flags
from av.container import InputContainer
from av.video.stream import VideoStream

from stemtune.core.settings.frames import Limits
from stemtune.media import formats, sampling
from stemtune.media.sampling import DecodeError

OPTIONS = {
    # Playlists and references that lead to other files, or into the network, are not followed.
    "protocol_whitelist": "none",
    "format_whitelist": ",".join(sorted(formats.CONTAINERS)),
    # Holds while the file is probed; which decoder is used later is checked besides.
    "codec_whitelist": ",".join(sorted(formats.DECODERS)),
}
# Pictures that `stills` leaves to ffmpeg.
STILL_FORMATS = ("_pipe", "image2")


class Source(NamedTuple):
    """A video's file, opened once, however often its packets are read.

    Attributes:
        file: Without a buffer; ffmpeg has its own.
        is_stream: As `jpegs.is_stream` has it: without a name ffmpeg takes such for one picture.
    """

    file: FileIO
    is_stream: bool


@contextmanager
def opened(source: Source, limits: Limits) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Yields the container and its main video stream, decoded by one thread.

    The file is handed over open and without its name, so it is judged by its content alone: a name
    may be a pattern (`%03d.png`) or a protocol (`concat:…`) to ffmpeg.

    Raises:
        DecodeError: It has no video stream that can be decoded.
        LimitError: Its frames have more pixels than `limits` allow.
        av.error.FFmpegError: ffmpeg cannot read it.
    """
    with _container(source, OPTIONS | {"max_pixels": str(limits.pixels)}) as container:
        stream = _video_stream(container)
        if not stream.width * stream.height:
            # ffmpeg hides the size of what has more pixels than `max_pixels`.
            with _container(source, OPTIONS) as unlimited:
                hidden = _video_stream(unlimited)
                sampling.require_few_pixels(hidden.width, hidden.height, limits)
            raise DecodeError(
                "cannot be decoded: the size of its frames is not known; it is truncated or damaged"
            )
        sampling.require_few_pixels(stream.width, stream.height, limits)
        context = stream.codec_context
        context.thread_count = 1
        # Else what is cropped at the left is rounded to what suits the processor.
        context.flags |= Flags.unaligned
        if is_still(container):
            # Else half a picture would be given, and the rest grey.
            context.options = {"err_detect": "explode"}
        yield container, stream


def is_still(container: InputContainer) -> bool:
    """Tells whether it holds one picture, no video."""
    return container.format.name.endswith(STILL_FORMATS)


@contextmanager
def _container(source: Source, options: dict[str, str]) -> Iterator[InputContainer]:
    kind = "mjpeg" if source.is_stream else None
    source.file.seek(0)
    source.file.name = ""
    try:
        opened = av.open(source.file, "r", kind, options=options, metadata_errors="replace")
    except av.error.ArgumentError as error:
        # Of a container that is not listed.
        raise DecodeError(sampling.NO_CLIP) from error
    with opened as container:
        yield container


def _video_stream(container: InputContainer) -> VideoStream:
    stream = container.streams.best("video")
    if not isinstance(stream, VideoStream):
        raise DecodeError("has no video stream")
    if stream.disposition & stream.disposition.attached_pic:
        raise DecodeError("has no video stream, only a cover picture")
    if stream.codec_context is None:
        raise DecodeError("cannot be decoded: there is no decoder for its codec")
    if (name := stream.codec_context.name) not in formats.DECODERS:
        raise DecodeError(f"cannot be decoded: its codec ({name}) is none of those read here")
    return stream
