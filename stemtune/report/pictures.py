"""Which test frames a page shows, and pictures as addresses of themselves."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import PIL.Image

EXAMPLES = 4
# Of the pixels shown as white; the brightest few would darken all others.
WHITE_PERCENTILE = 99.5
WEBP_QUALITY = 75


@dataclass(frozen=True)
class Example:
    """A test frame in all its forms.

    Attributes:
        actual: Its class.
        pictures: By what it was made by, (h, w, 3), uint8.
        answers: By model, the class that it answered.
    """

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

    A stem's output has no upper end. All frames are scaled alike, to make the brightest pixels
    white; frames of zeros stay black.
    """
    white = float(np.percentile(frames, WHITE_PERCENTILE))
    scaled = frames / white if white > 0 else frames
    return (255 * scaled.clip(0, 1)).round().astype(np.uint8)


def address(picture: np.ndarray, side: int, exact: bool = False) -> str:
    """Returns a picture (h, w, 3), uint8, as an address of itself; equal pixels, equal bytes.

    Args:
        picture: To be shown.
        side: To which a larger one is resized, px.
        exact: Whether each pixel is kept as it is, in a file of some ten times the size.
    """
    image = PIL.Image.fromarray(picture)
    if max(image.size) > side:
        image = image.resize((side, side), PIL.Image.Resampling.BOX)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=WEBP_QUALITY, lossless=exact)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
