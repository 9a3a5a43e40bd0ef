"""Test frames next to what the stems make of them, as PNG files that equal pixels make equal."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.image
import numpy as np
import pandas as pd

EXAMPLES = 4
# Of the pixels shown as white; the brightest few would darken all others.
WHITE_PERCENTILE = 99.5


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
    nameless: dict[str, Any] = {"Software": None}
    matplotlib.image.imsave(buffer, picture, format="png", metadata=nameless)
    return buffer.getvalue()


def data_uri(picture: np.ndarray) -> str:
    """Returns a picture as the address of itself, for a page that needs no other file."""
    return "data:image/png;base64," + base64.b64encode(png(picture)).decode()
