"""Decodes pictures, still and animated, with Pillow, and makes them what a viewer would show."""

import io
import os
import struct
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO, NamedTuple

import av
import numpy as np
import pillow_heif
from PIL import AvifImagePlugin, Image, PngImagePlugin

from stemtune.core.settings.frames import Limits
from stemtune.media import boxes, colors, jpegs, presentation, sampling
from stemtune.media.sampling import DecodeError, LimitError, Sample, Span
from stemtune.media.scaling import Converter

# Of Pillow's, those that their first bytes tell for sure: what Pillow refuses of these is refused.
# The others are left to ffmpeg.
FORMATS = (
    "AVIF", "BMP", "DIB", "GIF", "HEIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF",
    "WEBP",
)  # fmt: skip
# In others further pictures are pages, views, sizes or thumbnails.
ANIMATED = {"AVIF", "GIF", "PNG", "WEBP"}
# Brands of HEIF files that hold a video (ISO 23008-12), which ffmpeg decodes.
SEQUENCES = {b"hevc", b"hevx", b"hevm", b"hevs", b"msf1"}
# Of those, which tell the duration of a frame once it is decoded.
TIMED_BY_DECODING = {"AVIF", "WEBP"}
# Browsers and ffmpeg take a frame that lasts no longer for one without a duration.
NO_DURATION_MS, DEFAULT_DURATION_MS = 10, 100
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ORIENTATION = 0x0112
# What programs that edit pictures note about one, an orientation included, which viewers leave out.
EDITING = ("xmp", "XML:com.adobe.xmp")
# How much of a file tells its kind, bytes; how much of libtiff's words is kept, characters.
BEGIN, SAID = 16, 200

pillow_heif.register_heif_opener(thumbnails=False)
# Workers are as many as there are to be threads.
pillow_heif.options.DECODE_THREADS = AvifImagePlugin.DEFAULT_MAX_THREADS = 1


def sample(
    file: BinaryIO, path: Path, count: int, side: int, limits: Limits, span: Span | None = None
) -> Sample | None:
    """Returns frames of a picture; None if the file is none, or one that ffmpeg has to decode.

    A still gives one frame. An animation gives those shown at the middle of `count` equal spans of
    its duration.

    Args:
        file: Open; it is judged by its content alone.
        path: Of the file, for what has to be read by itself.
        count: How many frames to take of an animation, from 1 on.
        side: Of the squares that they are scaled to, px.
        limits: Of pixels and frames; the caller limits seconds and memory.
        span: The part of an animation that frames are taken from; None: all of it.

    Raises:
        DecodeError: The picture is damaged, or has samples that cannot be shown as they are.
        LimitError: It has more pixels or frames than `limits` allow.
        OSError: It cannot be read.
        MemoryError: It takes more memory than this process has.
    """
    # Pillow's own limit, which counts twice as many, also holds for pictures inside others.
    Image.MAX_IMAGE_PIXELS = limits.pixels
    file.seek(0)
    begin = file.read(BEGIN).ljust(BEGIN, b"\0")
    kinds = [] if begin[4:8] == b"ftyp" and begin[8:12] in SEQUENCES else _kinds(begin)
    if not kinds:
        return None
    file.seek(0)
    with warnings.catch_warnings(), _errors_told(kinds, limits):
        # About metadata, which the picture does not need.
        warnings.simplefilter("ignore")
        # Its end may be missing.
        jpeg = file.read() + jpegs.END if "JPEG" in kinds else b""
        source = io.BytesIO(jpeg) if jpeg else file
        with Image.open(source, formats=kinds) as picture:
            sampling.require_few_pixels(*picture.size, limits)
            if jpeg and jpegs.is_damaged(jpeg):
                raise ValueError("damaged")
            return _sample(picture, path, count, Converter(side), limits, span)


def _kinds(begin: bytes) -> list[str]:
    """Returns Pillow's names of what a file may be that begins so."""
    Image.init()
    accepts = {kind: Image.OPEN[kind][1] for kind in FORMATS}
    return [kind for kind, accept in accepts.items() if accept and accept(begin)]


@contextmanager
def _errors_told(kinds: Sequence[str], limits: Limits) -> Iterator[None]:
    """Says in words that a reader understands why a picture cannot be decoded."""
    reason = (
        f"cannot be decoded: the {' or '.join(kinds)} image file is truncated, damaged, or of a "
        "kind that is not read here"
    )
    said: list[str] = []
    try:
        with _errors_of_libtiff(said) if "TIFF" in kinds else nullcontext():
            yield
    except (DecodeError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise LimitError(f"has more pixels than limits.pixels allows, {limits.pixels}") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno:
            # The system's own: the file cannot be read.
            raise
        if "memory" in str(error).lower():
            raise MemoryError from error
        raise DecodeError(reason + _first(said)) from error
    if said:
        # Pillow goes on where libtiff does, with lines of the picture missing.
        raise DecodeError(reason + _first(said))


@contextmanager
def _errors_of_libtiff(said: list[str]) -> Iterator[None]:
    """Keeps the lines that libtiff writes to standard error, which do not name the clip."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            said += file.read().decode("utf-8", "replace").splitlines()


def _first(said: Sequence[str]) -> str:
    """Returns the first of these lines to follow a sentence."""
    return f" ({said[0].strip().rstrip('.')[:SAID]})" if said else ""


def _sample(
    picture: Image.Image,
    path: Path,
    count: int,
    converter: Converter,
    limits: Limits,
    span: Span | None,
) -> Sample:
    # A picture of its own may come before an animation, to be shown in its place.
    first = int(getattr(picture, "default_image", False))
    length = _count(picture) - first if picture.format in ANIMATED else 1
    sampling.require_few_frames(length, limits)
    look = _look(picture, path)
    restores = False
    if length > 1:
        starts, restores = _starts(picture, first)
        duration = starts.pop()
        chosen = sampling.shown_at(starts, sampling.moments(0.0, duration, count, span))
    else:
        starts, duration, chosen = [0.0], 0.0, [0]
    shown: dict[int, np.ndarray] = {}
    for position in sorted(set(chosen)):
        # Pillow restores what it has loaded, not what was there before: one frame a reading.
        with Image.open(path, formats=["PNG"]) if restores else nullcontext(picture) as reading:
            if length > 1:
                reading.seek(first + position)
            upright = _as_shown(reading, look)
        frame = av.VideoFrame.from_ndarray(np.asarray(upright), format="rgb24")
        shown[position] = converter.convert(frame)
    return Sample(
        np.stack([shown[position] for position in chosen]),
        np.array([starts[position] for position in chosen]),
        min(len(chosen), length),
        *upright.size,
        duration=duration,
    )


def _count(picture: Image.Image) -> int:
    return int(getattr(picture, "n_frames", 1))


def _starts(picture: Image.Image, first: int) -> tuple[list[float], bool]:
    """Returns when each frame of an animation starts, and last when it ends, seconds.

    And whether an APNG restores what was there before a frame.
    """
    milliseconds, restores = [0.0], False
    for position in range(first, _count(picture)):
        picture.seek(position)
        if picture.format in TIMED_BY_DECODING:
            picture.load()
        duration = float(picture.info.get("duration") or 0)
        if duration <= NO_DURATION_MS:
            duration = DEFAULT_DURATION_MS
        milliseconds.append(milliseconds[-1] + duration)
        restores |= picture.info.get("disposal") == PngImagePlugin.Disposal.OP_PREVIOUS
    return [moment / 1000 for moment in milliseconds], restores


class _Look(NamedTuple):
    """What a file tells of its pictures beside samples, orientation and ICC profile."""

    space: colors.Space | None = None
    aperture: tuple[int, ...] | None = None


def _look(picture: Image.Image, path: Path) -> _Look:
    if picture.format == "AVIF":
        told = boxes.read(path.read_bytes())
        space = colors.of_code_points(*told.code_points) if told.code_points else None
        return _Look(space, told.aperture)
    if nclx := picture.info.get("nclx_profile"):
        points = nclx["color_primaries"], nclx["transfer_characteristics"]
        return _Look(colors.of_code_points(*map(int, points)))
    if picture.format == "PNG":
        return _Look(colors.of_png(picture, path))
    return _Look()


def _as_shown(picture: Image.Image, look: _Look) -> Image.Image:
    """Returns the picture as it is to be shown: upright, of mode RGB, in the colours of sRGB."""
    for note in EDITING:
        picture.info.pop(note, None)
    # TIFF is turned while it is loaded, and then says nothing more about it.
    picture.load()
    turn = TURNS.get(_orientation(picture))
    shown = _srgb(_cropped(picture, look.aperture), look.space)
    return shown if turn is None else shown.transpose(turn)


def _cropped(picture: Image.Image, aperture: tuple[int, ...] | None) -> Image.Image:
    if aperture is None or not all(aperture[1::2]):
        return picture
    left, right, top, bottom = presentation.crop_of(*picture.size, *aperture)
    is_inside = min(left, right, top, bottom) >= 0
    if not is_inside or left + right >= picture.width or top + bottom >= picture.height:
        # Viewers leave out what makes no sense.
        return picture
    return picture.crop((left, top, picture.width - right, picture.height - bottom))


def _orientation(picture: Image.Image) -> int:
    """Returns how the camera was held, as EXIF numbers it; 0 if it does not say."""
    try:
        return int(picture.getexif().get(ORIENTATION) or 0)
    except (AttributeError, LookupError, OSError, SyntaxError, TypeError, ValueError, struct.error):
        # EXIF that cannot be read says nothing; the picture itself may be whole.
        return 0


def _srgb(picture: Image.Image, space: colors.Space | None) -> Image.Image:
    """Returns a picture of any kind of samples as RGB, in the colours of sRGB, on white."""
    if picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format == "PPM"):
        # Pillow would cut off what is brighter than 255.
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    elif picture.mode in ("I", "F"):
        raise DecodeError(
            "cannot be decoded: its samples are signed or have 32 bits, whose range is not known; "
            "unsigned ones of 8 and 16 bits are read"
        )
    alpha = picture.convert("RGBA").getchannel("A") if picture.has_transparency_data else None
    colored = None if space and space.overrules else colors.through_profile(picture)
    if colored is None:
        colored = picture.convert("RGB")
        colored = colored if space is None else colors.converted(colored, space)
    if alpha is None:
        return colored
    white = Image.new("RGB", picture.size, "white")
    return Image.composite(colored, white, alpha)
