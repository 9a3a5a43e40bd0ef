"""Colours of pictures become those of sRGB, if the file says for sure which they are."""

import io
import os
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageCms

# sRGB's chromaticities (CIE 1931 x, y) of red, green and blue, and of white.
SRGB_PRIMARIES = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
WHITE = (0.3127, 0.3290)
# Numbered by ITU-T H.273, those with the white of sRGB; 2 says that it is not known.
PRIMARIES = {
    1: SRGB_PRIMARIES,
    2: SRGB_PRIMARIES,
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    7: (0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    9: (0.708, 0.292, 0.17, 0.797, 0.131, 0.046),
    12: (0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    22: (0.63, 0.34, 0.295, 0.605, 0.155, 0.077),
}
# None: the curve of sRGB, which screens also show those of video (BT.709 and its like) with. PQ
# (16) and HLG (18) are missing: how bright they are to be shown is no fixed rule.
GAMMAS = {1: None, 2: None, 4: 2.2, 5: 2.8, 6: None, 8: 1.0, 13: None, 14: None, 15: None}
# What libpng takes for a gamma of 1 / 2.2, and what rounding leaves of chromaticities.
ABOUT_EQUAL, ABOUT_PLACE = 0.05, 0.003
# Gammas that libpng takes for a mistake are outside (png.c, PNG_LIB_GAMMA_MIN and _MAX).
LEAST_GAMMA, MOST_GAMMA = 0.01, 100
# Bytes before the first chunk of a PNG.
SIGNATURE = 8
# Rows converted at a time: as real numbers they take a lot of memory.
ROWS = 256
SRGB = ImageCms.createProfile("sRGB")


class Space(NamedTuple):
    """Colours of a picture.

    Attributes:
        primaries: x and y of red, green and blue; the white is that of sRGB.
        gamma: Exponent from samples to light; None: the curve of sRGB.
        overrules: Whether an ICC profile does not count beside them.
    """

    primaries: tuple[float, ...] = SRGB_PRIMARIES
    gamma: float | None = None
    overrules: bool = False


UNCHANGED = Space()


def of_code_points(primaries: int, transfer: int) -> Space:
    """Returns the colours that ITU-T H.273 numbers so; sRGB for those that have no sure rule."""
    if primaries not in PRIMARIES or transfer not in GAMMAS:
        return UNCHANGED
    return Space(PRIMARIES[primaries], GAMMAS[transfer])


def of_png(picture: Image.Image, path: Path) -> Space:
    """Returns the colours that chunks of a PNG name; cICP overrules an ICC profile."""
    if (code_points := _cicp(path)) is not None:
        return of_code_points(*code_points)._replace(overrules=True)
    if "srgb" in picture.info:
        return UNCHANGED
    gamma = float(picture.info.get("gamma") or 1 / 2.2)
    is_usual = abs(gamma * 2.2 - 1) < ABOUT_EQUAL or not LEAST_GAMMA <= gamma <= MOST_GAMMA
    placed = picture.info.get("chromaticity") or (*WHITE, *SRGB_PRIMARIES)
    is_placed = max(abs(np.subtract(placed[:2], WHITE))) <= ABOUT_PLACE and min(placed[3::2]) > 0
    corners = np.column_stack([np.reshape(placed[2:], (3, 2)), np.ones(3)])
    if not is_placed or abs(np.linalg.det(corners)) < ABOUT_PLACE:
        # Of another white, for which there are several rules, or no colours at all.
        placed = (*WHITE, *SRGB_PRIMARIES)
    return Space(tuple(placed[2:]), None if is_usual else 1 / gamma)


def _cicp(path: Path) -> tuple[int, int] | None:
    """Returns the code points of a PNG's chunk cICP, which stands before the samples."""
    with path.open("rb") as file:
        file.seek(SIGNATURE)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"cICP":
                points = file.read(2)
                return (points[0], points[1]) if len(points) == 2 else None
            if kind == b"IDAT":
                return None
            # What follows the content is its checksum.
            file.seek(length + 4, os.SEEK_CUR)
    return None


def converted(picture: Image.Image, space: Space) -> Image.Image:
    """Returns a picture of mode RGB in the colours of sRGB."""
    is_same = np.abs(np.subtract(space.primaries, SRGB_PRIMARIES)).max() <= ABOUT_PLACE
    if is_same and space.gamma is None:
        return picture
    matrix = np.linalg.solve(_to_xyz(SRGB_PRIMARIES), _to_xyz(space.primaries))
    samples = np.arange(256) / 255
    curve = _light(samples) if space.gamma is None else samples**space.gamma
    stored = np.asarray(picture)
    shown = np.empty_like(stored)
    for row in range(0, len(stored), ROWS):
        light = curve.astype(np.float32)[stored[row : row + ROWS]]
        if not is_same:
            light = light @ matrix.T.astype(np.float32)
        shown[row : row + ROWS] = np.rint(_samples(light.clip(0, 1)) * 255)
    return Image.fromarray(shown)


def through_profile(picture: Image.Image) -> Image.Image | None:
    """Returns a picture as RGB in the colours of sRGB, if its ICC profile says which it has."""
    if not (profile := picture.info.get("icc_profile")):
        return None
    plain = picture if picture.mode in ("L", "CMYK", "LAB") else picture.convert("RGB")
    try:
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.buildTransform(embedded, SRGB, plain.mode, "RGB").apply(plain)
    except (ImageCms.PyCMSError, OSError):
        # A broken profile, or one of another kind of picture: viewers leave it out as well.
        return None


def _to_xyz(primaries: tuple[float, ...]) -> np.ndarray:
    """Returns the matrix (3, 3) from light of these primaries to CIE XYZ."""
    points = np.reshape(primaries, (3, 2))
    columns = np.stack([points[:, 0], points[:, 1], 1 - points.sum(1)]) / points[:, 1]
    white = np.array([WHITE[0], WHITE[1], 1 - sum(WHITE)]) / WHITE[1]
    return columns * np.linalg.solve(columns, white)


def _light(samples: np.ndarray) -> np.ndarray:
    return np.where(samples <= 0.04045, samples / 12.92, ((samples + 0.055) / 1.055) ** 2.4)


def _samples(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
