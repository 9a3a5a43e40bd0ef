"""The patterns that tell classes apart: heights in [0, 1] over coordinates counted in repeats."""

from collections.abc import Callable

import numpy as np

from samples.canvas import Array, disc


def wave(phase: Array) -> Array:
    """A smooth wave from 0 to 1 and back, once per unit of ``phase``."""
    return np.asarray(0.5 + 0.5 * np.cos(2 * np.pi * phase))


def ribs(u: Array, v: Array) -> Array:
    """Parallel ridges, like corduroy."""
    return wave(u)


def dots(u: Array, v: Array) -> Array:
    """Round dots in staggered rows."""
    row = np.floor(v)
    return disc((u + row / 2) % 1 - 0.5, v % 1 - 0.5, 0.28, 0.05)


def mesh(u: Array, v: Array) -> Array:
    """A square net of thin threads."""
    return np.maximum(np.abs(np.cos(np.pi * u)), np.abs(np.cos(np.pi * v))) ** 4


def weave(u: Array, v: Array) -> Array:
    """Pairs of threads that cross over and under each other."""
    over = (np.floor(u) + np.floor(v)) % 2 == 0
    return np.abs(np.sin(2 * np.pi * np.where(over, u, v))).astype(np.float32)


def chevron(u: Array, v: Array) -> Array:
    """Zigzag stripes."""
    rise = np.abs(u % 2 - 1)
    return wave(v - 1.2 * rise)


def scales(u: Array, v: Array) -> Array:
    """Overlapping scales, each with a rib along its rim."""
    height = np.zeros_like(u)
    for behind in (2, 1, 0):
        row = np.floor(v) - behind
        du, dv = (u + row) % 2 - 1, v - row
        distance = np.sqrt(du * du + dv * dv) / 1.12
        height = np.where(distance < 1, wave(1.5 * (distance - 0.87)), height)
    return height


Pattern = Callable[[Array, Array], Array]

PATTERNS: dict[str, Pattern] = {
    "chevron": chevron,
    "dots": dots,
    "mesh": mesh,
    "ribs": ribs,
    "scales": scales,
    "weave": weave,
}
