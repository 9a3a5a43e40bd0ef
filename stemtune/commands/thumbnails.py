"""Thumbnails tell the same footage from frames that only share a pattern.

A perceptual hash sees where a frame is bright and dark, in grey. Two textures may agree in that and
in nothing else.
"""

import numpy as np
from PIL import Image

# Of a thumbnail, px.
SIDE = 8
# Frames of one footage agree in mean red, green and blue within this many levels of 255,
MOST_COLOR = 6.0
# or, if only the light differs, have thumbnails with at least this correlation.
LEAST_CORRELATION = 0.92


def of(frames: np.ndarray) -> np.ndarray:
    """Returns the thumbnails (n, 8, 8, 3), uint8, of frames (n, side, side, 3), uint8."""
    box = Image.Resampling.BOX
    small = [Image.fromarray(frame).resize((SIDE, SIDE), box) for frame in frames]
    return np.stack([np.asarray(image) for image in small])


def agree(some: np.ndarray, others: np.ndarray) -> bool:
    """Tells whether a frame of one clip has the colors of a frame of the other, or its shades.

    Args:
        some, others: The thumbnails of each clip.
    """
    one, other = some[:, None].astype(float), others[None].astype(float)
    mean_one, mean_other = (each.mean((2, 3), keepdims=True) for each in (one, other))
    color = np.abs(mean_one - mean_other).max((2, 3, 4))
    one, other = one - mean_one, other - mean_other
    squares = (one**2).sum((2, 3, 4)) * (other**2).sum((2, 3, 4))
    # Two frames of one color each have no correlation.
    correlation = (one * other).sum((2, 3, 4)) / np.sqrt(np.maximum(squares, 1))
    return bool(((color <= MOST_COLOR) | (correlation >= LEAST_CORRELATION)).any())
