"""What is peculiar to JPEG: streams of pictures, further pictures behind one, hidden damage."""

import re
import struct
from typing import BinaryIO, NamedTuple

import av
import av.error

BEGIN, END = b"\xff\xd8", b"\xff\xd9"
# Where one JPEG ends and the next begins.
BETWEEN = re.compile(END + b"\0*(?=" + BEGIN + b"\xff)")
# How much of a file tells whether it is a stream, bytes.
PROBED = 2**22
# Segments that start a frame; those in between hold tables.
FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Baseline, extended and progressive with Huffman codes: what ffmpeg decodes, and so can judge.
HUFFMAN = {0xC0, 0xC1, 0xC2}
# CIPA DC-007: an index of several pictures in one file.
SEVERAL_PICTURES = 0xE2, b"MPF\0"


class _Header(NamedTuple):
    """Of a picture.

    Attributes:
        is_indexed: Whether an index of several pictures comes before it.
        marker: Of its segment.
        bits: Of a sample.
        height, width: px.
    """

    is_indexed: bool
    marker: int
    bits: int
    height: int
    width: int


def is_stream(file: BinaryIO) -> bool:
    """Tells whether an open file is a bare stream of JPEGs, a video that is no picture.

    That is one of at least three pictures of one size, without an index of several pictures: those
    behind a camera's photograph are smaller, or in such an index.
    """
    file.seek(0)
    data = file.read(len(BEGIN))
    if data != BEGIN:
        return False
    data += file.read(PROBED)
    starts = [0, *(match.end() for match in BETWEEN.finditer(data))]
    if len(starts) < 3:
        return False
    headers = [_header(data, start) for start in starts]
    if len(data) > PROBED:
        # The last picture may end behind what was read.
        headers.pop()
    first = headers[0]
    return (
        first is not None
        and not first.is_indexed
        and all(header and header[-2:] == first[-2:] for header in headers)
    )


def is_damaged(data: bytes) -> bool:
    """Tells whether a JPEG, its end included, is damaged, or lacks a part before that.

    libjpeg only warns of damage, which Pillow does not pass on, and shows grey in its place. ffmpeg
    sees codes that do not exist, and whether there are too few of them.
    """
    header = _header(data, 0)
    if header is None or header.marker not in HUFFMAN or header.bits != 8:
        return False
    context = av.CodecContext.create("mjpeg", "r")
    context.thread_count, context.options = 1, {"err_detect": "explode"}
    try:
        context.decode(av.Packet(data))
    except av.error.InvalidDataError:
        return True
    except av.error.FFmpegError:
        # A kind that ffmpeg lacks, which says nothing of damage.
        return False
    return False


def _header(data: bytes, start: int) -> _Header | None:
    """Returns the header of the picture that starts there; None if it has none."""
    place, is_indexed = start + len(BEGIN), False
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:
            # Bytes that fill.
            place += 1
            continue
        (length,) = struct.unpack_from(">H", data, place + 2)
        content = data[place + 4 : place + 2 + length]
        if marker in FRAMES and len(content) >= 5:
            return _Header(is_indexed, marker, *struct.unpack_from(">BHH", content))
        is_indexed = is_indexed or (marker, content[:4]) == SEVERAL_PICTURES
        place += 2 + length
    return None
