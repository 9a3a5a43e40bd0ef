"""Shapes: where a surface is, how its pattern lies on it and which way it faces."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from samples.canvas import Array


@dataclass(frozen=True)
class Surface:
    """A surface seen from the front; all arrays have one shape, lengths are in object radii."""

    inside: npt.NDArray[np.bool_]
    s: Array  # along the surface, left to right
    t: Array  # along the surface, top to bottom
    nx: Array  # unit normal, the part along x
    ny: Array  # unit normal, the part along y


Shape = Callable[[Array, Array, float], Surface]


def ball(x: Array, y: Array, phase: float) -> Surface:
    """A sphere."""
    r = np.sqrt(x * x + y * y)
    stretch = np.arcsin(np.minimum(r, 1)) / np.maximum(r, 1e-6)
    return Surface(r < 1, x * stretch, y * stretch, x, y)


def drum(x: Array, y: Array, phase: float) -> Surface:
    """An upright cylinder."""
    across = np.clip(x / 0.8, -1, 1)
    inside = (np.abs(x) < 0.8) & (np.abs(y) < 0.9)
    return Surface(inside, 0.8 * np.arcsin(across), y, across, np.zeros_like(y))


def vase(x: Array, y: Array, phase: float) -> Surface:
    """A surface of revolution with a waist."""
    radius = 0.68 + 0.2 * np.cos(3.4 * y + 1)
    slope = -0.68 * np.sin(3.4 * y + 1)
    across = np.clip(x / radius, -1, 1)
    inside = (np.abs(x) < radius) & (np.abs(y) < 1)
    return Surface(inside, radius * np.arcsin(across), y, across, -0.5 * slope)


def cushion(x: Array, y: Array, phase: float) -> Surface:
    """A square pillow with rounded corners."""
    xx, yy = x * x, y * y
    inside = xx * xx + yy * yy < 0.75
    return Surface(inside, x * (1 + 0.15 * xx), y * (1 + 0.15 * yy), 0.9 * x * xx, 0.9 * y * yy)


def cloth(x: Array, y: Array, phase: float) -> Surface:
    """A flag whose waves run along it with ``phase`` (radians)."""
    wave = 4.5 * x + 1.2 * y - phase
    lift = 0.05 * np.sin(wave)
    inside = (np.abs(x) < 1.1) & (np.abs(y + lift) < 0.75)
    tip = np.cos(wave)
    return Surface(inside, x + lift, y + lift, -0.55 * tip, -0.15 * tip)


SHAPES: tuple[Shape, ...] = (ball, drum, vase, cushion, cloth)
