"""How the frames of a video are to be shown: cropped, turned, mirrored.

PyAV's frames carry this as side data, which must not be touched: kinds that it does not know raise
an error, and some are freed twice. So what the container says is read from a copy of its header.
"""

import io
import struct
from fractions import Fraction
from typing import NamedTuple

import av
import av.error
import numpy as np
from av.video.stream import VideoStream

from stemtune.media.scaling import Step

# QuickTime's boxes `tkhd` (version 0) and `clap`, names included (ISO 14496-12, 8.3.2, 12.1.4).
TRACK, APERTURE = struct.Struct(">4s40x9i24x"), struct.Struct(">4s4I4i")


class Matrix(NamedTuple):
    """Turns and mirrors a picture: x' = a x + c y, y' = b x + d y."""

    a: float
    b: float
    c: float
    d: float


class Crop(NamedTuple):
    """How much of the stored picture is not shown at each border, px."""

    left: int
    right: int
    top: int
    bottom: int


UPRIGHT = Matrix(1, 0, 0, 1)
WHOLE = Crop(0, 0, 0, 0)


class Presentation(NamedTuple):
    """What a container asks for."""

    matrix: Matrix = UPRIGHT
    crop: Crop = WHOLE

    @property
    def angle(self) -> int:
        """Degrees by which the container turns frames clockwise, in [0, 360)."""
        return _angle(self.matrix)

    def steps(self, frame: av.VideoFrame, angle: int) -> tuple[list[Step], tuple[int, int]]:
        """Returns the filters that make a frame what is to be shown; its width and height then.

        Args:
            frame: As decoded.
            angle: By how many degrees it says that it is turned clockwise, in [0, 360).
        """
        left, right, top, bottom = self.crop
        width, height = frame.width - left - right, frame.height - top - bottom
        steps: list[Step] = []
        if self.crop != WHOLE:
            steps.append(("crop", f"{width}:{height}:{left}:{top}:exact=1"))
        matrix = self.matrix
        if angle != self.angle:
            # The frame itself, by EXIF or a message in the stream, overrules its container.
            matrix = _turned(angle)
        turns = _turns(matrix)
        if any(name == "transpose" for name, _ in turns):
            width, height = height, width
        return steps + turns, (width, height)


def angle(frame: av.VideoFrame) -> int:
    """Returns by how many degrees a frame, or its container, is turned clockwise, in [0, 360)."""
    return -frame.rotation % 360


def of_stream(stream: VideoStream) -> Presentation:
    """Returns what the container of a stream asks for.

    ffmpeg copies it into the header of a QuickTime file, whatever container it was read from.
    """
    header = io.BytesIO()
    options = {"movflags": "empty_moov", "strict": "experimental"}
    try:
        with av.open(header, "w", format="mov", options=options) as copy:
            copy.add_stream_from_template(stream, opaque=True)
            copy.start_encoding()
            content = header.getvalue()
    except (ValueError, av.error.FFmpegError):
        # QuickTime does not hold this codec. Of the containers that do, Matroska alone turns or
        # crops, very rarely; a turn is then known from the frames.
        return Presentation()
    matrix, crop = UPRIGHT, WHOLE
    if (place := content.find(b"tkhd")) >= 0:
        _, a, b, _, c, d, *_ = TRACK.unpack_from(content, place)
        matrix = Matrix(*(value / 2**16 for value in (a, b, c, d)))
    if (place := content.find(b"clap")) >= 0:
        crop = crop_of(stream.width, stream.height, *APERTURE.unpack_from(content, place)[1:])
    return Presentation(matrix, crop)


def crop_of(stored_width: int, stored_height: int, *fractions: int) -> Crop:
    """Returns the borders that a clean aperture leaves out.

    Args:
        stored_width, stored_height: Of the whole picture, px.
        fractions: Width, height and the centre's offsets to the right and down, each above and
            below the line.
    """
    width, height, right, down = (
        Fraction(above, below) for above, below in zip(fractions[::2], fractions[1::2], strict=True)
    )
    left = round((stored_width - width) / 2 + right)
    top = round((stored_height - height) / 2 + down)
    return Crop(left, round(stored_width - width) - left, top, round(stored_height - height) - top)


def _angle(matrix: Matrix) -> int:
    """Returns by how many degrees a matrix turns clockwise, in [0, 360).

    As libavutil's av_display_rotation_get, whose result PyAV cuts off to whole degrees.
    """
    lengths = np.hypot(matrix.a, matrix.c), np.hypot(matrix.b, matrix.d)
    if not all(lengths):
        return 0
    degrees = np.degrees(np.arctan2(matrix.b / lengths[1], matrix.a / lengths[0]))
    return int(degrees) % 360


def _turned(angle: int) -> Matrix:
    sine, cosine = np.sin(np.radians(angle)), np.cos(np.radians(angle))
    return Matrix(cosine, sine, -sine, cosine)


def _turns(matrix: Matrix) -> list[Step]:
    """Returns the filters that turn a frame the way its display matrix asks for.

    The cases are those of ffmpeg's command line (fftools/ffmpeg_filter.c).
    """
    match _angle(matrix):
        case 0:
            return [("vflip", None)] if matrix.d < 0 else []
        case 90:
            return [("transpose", "cclock_flip" if matrix.c > 0 else "clock")]
        case 180:
            flips: list[Step] = []
            flips += [("hflip", None)] if matrix.a < 0 else []
            flips += [("vflip", None)] if matrix.d < 0 else []
            return flips
        case 270:
            return [("transpose", "clock_flip" if matrix.c < 0 else "cclock")]
        case angle:
            return [("rotate", f"{angle}*PI/180")]
