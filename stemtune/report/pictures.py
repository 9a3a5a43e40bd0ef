"""Test frames next to what the stems make of them, as PNG files that equal pixels make equal."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import PIL.Image

EXAMPLES = 4
# Of the pixels shown as white; the brightest few would darken all others.
WHITE_PERCENTILE = 99.5
# To which pictures are made smaller, px: to the first at which all fit.
SIDES = (224, 168, 112)
WEBP_QUALITY = 75


@dataclass(frozen=True)
class Example:
    """A test frame in all its forms.

    Attributes:
        clip: Where it is from.
        actual: Its class.
        pictures: By what it was made by, (h, w, 3), uint8.
        answers: By model, the class that it answered.
    """

    clip: str
    actual: str
    pictures: Mapping[str, np.ndarray]
    answers: Mapping[str, str]


def choose(frames: pd.DataFrame) -> list[int]:
    """Returns the positions of frames to show: the first of each of up to `EXAMPLES` classes."""
    first = np.flatnonzero(~frames["class"].duplicated().to_numpy())
    shown = np.linspace(0, len(first) - 1, min(EXAMPLES, len(first))).round().astype(int)
    return [int(position) for position in first[shown]]


def visible(frames: np.ndarray) -> np.ndarray:
    """Returns frames of any brightness, float, from 0 up, as pictures, uint8.

    What a stem hands on has no upper end. All frames are scaled alike, so that the brightest pixels
    are white; frames of zeros stay black.
    """
    white = float(np.percentile(frames, WHITE_PERCENTILE))
    scaled = frames / white if white > 0 else frames
    return (255 * scaled.clip(0, 1)).round().astype(np.uint8)


def png(picture: np.ndarray) -> bytes:
    """Returns a picture (h, w, 3), uint8, as a PNG file without time or name of its writer."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def small(picture: np.ndarray, side: int) -> str:
    """Returns a picture (h, w, 3), uint8, as an address of itself: WebP of at most `side` px.

    A tenth of a PNG file of that side, for pages of many pictures.
    """
    buffer = io.BytesIO()
    PIL.Image.fromarray(_fitted(picture, side)).save(buffer, "WEBP", quality=WEBP_QUALITY)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def embedded(examples: Sequence[Example], room: int) -> list[dict[str, str]]:
    """Returns the pictures of each example as addresses of themselves, by what they were made by.

    Pictures are made smaller where they would not fit; where that does not do, those of the last
    makers are left out.

    Args:
        examples: With pictures by the same makers.
        room: For all of them together, bytes.
    """
    for side in SIDES:
        found = [
            {name: _address(picture, side) for name, picture in example.pictures.items()}
            for example in examples
        ]
        if _size(found) <= room:
            return found
    while _size(found) > room:
        for addresses in found:
            addresses.popitem()
    return found


def _address(picture: np.ndarray, side: int) -> str:
    return "data:image/png;base64," + base64.b64encode(png(_fitted(picture, side))).decode()


def _fitted(picture: np.ndarray, side: int) -> np.ndarray:
    if max(picture.shape[:2]) <= side:
        return picture
    smaller = PIL.Image.fromarray(picture).resize((side, side), PIL.Image.Resampling.BOX)
    return np.asarray(smaller)


def _size(addresses: Sequence[Mapping[str, str]]) -> int:
    return sum(len(address) for row in addresses for address in row.values())
