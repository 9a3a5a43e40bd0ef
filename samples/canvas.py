"""What every part of a picture is drawn with: the frame's size, chance, colours, soft discs."""

import zlib

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]

WIDTH, HEIGHT = 320, 240  # pixels


def seeded(*names: object) -> np.random.Generator:
    """A generator that depends on ``names`` alone."""
    return np.random.default_rng(zlib.crc32("/".join(map(str, names)).encode()))


def colour(rng: np.random.Generator, value: float) -> Array:
    """A random colour, (3,) in [0, 1], whose channels have the mean ``value``."""
    hue = rng.uniform(0, 2 * np.pi) + np.arange(3) * 2 * np.pi / 3
    return (value * (1 + rng.uniform(0.05, 0.45) * np.cos(hue))).clip(0, 1).astype(np.float32)


def disc(x: Array, y: Array, radius: float, softness: float) -> Array:
    """How much a soft-edged disc about the origin covers, in [0, 1]."""
    outside = (np.sqrt(x * x + y * y) - radius) / softness
    return (1 / (1 + np.exp(outside.clip(-50, 50)))).astype(np.float32)
