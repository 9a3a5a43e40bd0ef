"""Decodes pictures, still and animated, with Pillow, and makes them what a viewer would show."""

import io
import struct
import warnings
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import pillow_heif
from PIL import AvifImagePlugin, Image, ImageCms

from stemtune.core.settings.frames import Limits
from stemtune.media import sampling
from stemtune.media.sampling import DecodeError, LimitError, Sample, Span
from stemtune.media.scaling import Converter

# Of Pillow's, those that their first bytes tell for sure; the others are left to ffmpeg.
FORMATS = (
    "AVIF", "BMP", "DIB", "GIF", "HEIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF",
    "WEBP",
)  # fmt: skip
# In others further pictures are pages, views, sizes or thumbnails.
ANIMATED = {"AVIF", "GIF", "PNG", "WEBP"}
# Brands of HEIF files that hold a video (ISO 23008-12), which ffmpeg decodes.
SEQUENCES = {b"hevc", b"hevx", b"hevm", b"hevs", b"msf1"}
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
SRGB = ImageCms.createProfile("sRGB")

pillow_heif.register_heif_opener(thumbnails=False)
# Workers are as many as there are to be threads.
pillow_heif.options.DECODE_THREADS = AvifImagePlugin.DEFAULT_MAX_THREADS = 1


def sample(
    path: Path, count: int, side: int, limits: Limits, span: Span | None = None
) -> Sample | None:
    """Returns frames of a picture; None where the file is none, or one that ffmpeg has to decode.

    A still gives one frame. Of an animation those are taken that are shown in the middle of `count`
    equal parts of its duration.

    Args:
        path: Of the file, which is judged by its content alone.
        count: How many frames to take of an animation, from 1 on.
        side: Of the squares that they are scaled to, px.
        limits: Of pixels and frames; the caller limits seconds and memory.
        span: The part of an animation that frames are taken from; None: all of it.

    Raises:
        DecodeError: The picture has samples that cannot be shown as they are.
        LimitError: It has more pixels or frames than `limits` allow.
        OSError, ValueError, SyntaxError and others: It is damaged.
    """
    # Pillow's own limit, which counts twice as many, also holds for pictures inside others.
    Image.MAX_IMAGE_PIXELS = limits.pixels
    with path.open("rb") as file, warnings.catch_warnings():
        # About metadata, which the picture does not need.
        warnings.simplefilter("ignore")
        try:
            picture = None if _is_sequence(file) else _opened(file)
            if picture is None:
                return None
            with picture:
                sampling.require_few_pixels(*picture.size, limits)
                return _sample(picture, count, Converter(side), limits, span)
        except Image.DecompressionBombError as error:
            raise LimitError(
                f"has more pixels than limits.pixels allows, {limits.pixels}"
            ) from error


def _opened(file: BinaryIO) -> Image.Image | None:
    """Returns the picture in a file; None where it is none, or of a kind that Pillow lacks."""
    try:
        return Image.open(file, formats=FORMATS)
    except (OSError, SyntaxError, ValueError):
        return None


def _is_sequence(file: BinaryIO) -> bool:
    begin = file.read(12)
    file.seek(0)
    return begin[4:8] == b"ftyp" and begin[8:] in SEQUENCES


def _sample(
    picture: Image.Image, count: int, converter: Converter, limits: Limits, span: Span | None
) -> Sample:
    # A picture of its own may come before an animation, to be shown in its place.
    first = int(getattr(picture, "default_image", False))
    length = _count(picture) - first if picture.format in ANIMATED else 1
    sampling.require_few_frames(length, limits)
    if length > 1:
        starts = _starts(picture, first)
        duration = starts.pop()
        chosen = sampling.shown_at(starts, sampling.moments(0.0, duration, count, span))
    else:
        starts, duration, chosen = [0.0], 0.0, [0]
    shown: dict[int, np.ndarray] = {}
    for position in sorted(set(chosen)):
        if length > 1:
            picture.seek(first + position)
        upright = _srgb(_oriented(picture))
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


def _starts(picture: Image.Image, first: int) -> list[float]:
    """Returns when each frame of an animation starts, and last when it ends, seconds."""
    milliseconds = [0.0]
    for position in range(first, _count(picture)):
        picture.seek(position)
        # Some formats tell the duration once a frame is decoded.
        picture.load()
        duration = float(picture.info.get("duration") or 0)
        if duration <= NO_DURATION_MS:
            duration = DEFAULT_DURATION_MS
        milliseconds.append(milliseconds[-1] + duration)
    return [moment / 1000 for moment in milliseconds]


def _oriented(picture: Image.Image) -> Image.Image:
    """Returns the picture as the camera was held."""
    # TIFF is turned while it is loaded, and then says nothing more about it.
    picture.load()
    try:
        orientation = picture.getexif().get(ORIENTATION)
    except (AttributeError, LookupError, OSError, SyntaxError, TypeError, ValueError, struct.error):
        # EXIF that cannot be read says nothing; the picture itself may be whole.
        orientation = None
    turn = TURNS.get(orientation or 0)
    return picture if turn is None else picture.transpose(turn)


def _srgb(picture: Image.Image) -> Image.Image:
    """Returns a picture of any kind of samples as RGB, in the colors of sRGB, on white."""
    if picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format == "PPM"):
        # Pillow would cut off what is brighter than 255.
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    elif picture.mode in ("I", "F"):
        raise DecodeError(
            "cannot be decoded: its samples have 32 bits, whose range is not known; 8 and 16 bits "
            "are read"
        )
    alpha = picture.convert("RGBA").getchannel("A") if picture.has_transparency_data else None
    colored = _through_profile(picture)
    if alpha is None:
        return colored
    white = Image.new("RGB", picture.size, "white")
    return Image.composite(colored, white, alpha)


def _through_profile(picture: Image.Image) -> Image.Image:
    """Returns a picture as RGB, in the colors of sRGB where its profile says which it has."""
    plain = picture if picture.mode in ("L", "CMYK", "LAB") else picture.convert("RGB")
    if profile := picture.info.get("icc_profile"):
        try:
            embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            transform = ImageCms.buildTransform(embedded, SRGB, plain.mode, "RGB")
            return transform.apply(plain)
        except (ImageCms.PyCMSError, OSError):
            # A broken profile, or one of another kind of picture: viewers leave it out as well.
            pass
    return plain.convert("RGB")
