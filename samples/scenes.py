"""Scenes: an object before a background, which all clips of a group share."""

from dataclasses import dataclass

import numpy as np

from samples.canvas import HEIGHT, WIDTH, Array, colour, disc, seeded
from samples.patterns import PATTERNS, Pattern
from samples.shapes import SHAPES, Shape

TILE_CELLS = 32  # repeats of the pattern along one side of a texture tile
TEXELS_PER_CELL = 16

RADIUS = (105.0, 135.0)  # of an object, pixels at zoom 1
PITCH = (11.0, 14.0)  # pixels per repeat of a pattern, at zoom 1
CONTRAST = (0.4, 0.5)  # difference in value between the two colours of a pattern


@dataclass(frozen=True)
class Scene:
    """One object before one background."""

    shape: Shape
    tile: Array  # (texels, texels) in [0, 1], how far the pattern is from its low colour
    low: Array  # (3,) in [0, 1]
    high: Array  # (3,) in [0, 1]
    background: Array  # (2 * HEIGHT, 2 * WIDTH, 3) in [0, 1], twice the frame's extent
    radius: float  # of the object, pixels at zoom 1
    pitch: float  # pixels per repeat of the pattern at zoom 1
    grain: float  # turn of the pattern on the object, radians
    tilt: tuple[float, float]  # perspective: change of depth along x and y, per radius


def make_scene(class_name: str, scene: int) -> Scene:
    """Build scene number ``scene`` of a class; the same arguments give the same scene."""
    rng = seeded(class_name, scene)
    contrast = rng.uniform(*CONTRAST)
    value = rng.uniform(0.2 + contrast / 2, 0.7 - contrast / 2)
    return Scene(
        shape=SHAPES[scene % len(SHAPES)],  # in turn, so every class has each as often
        tile=paint_tile(PATTERNS[class_name], rng),
        low=colour(rng, value - contrast / 2),
        high=colour(rng, value + contrast / 2),
        background=paint_background(rng),
        radius=rng.uniform(*RADIUS),
        pitch=rng.uniform(*PITCH),
        grain=rng.uniform(-0.3, 0.3),
        tilt=(rng.uniform(-0.15, 0.15), rng.uniform(-0.15, 0.15)),
    )


def paint_tile(pattern: Pattern, rng: np.random.Generator) -> Array:
    """Lay a pattern out a little unevenly: (texels, texels) in [0, 1], seamless at the borders."""
    side = TILE_CELLS * TEXELS_PER_CELL
    v, u = np.mgrid[0:side, 0:side].astype(np.float32) / TEXELS_PER_CELL
    turn = 2 * np.pi / TILE_CELLS
    phases = rng.uniform(0, 2 * np.pi, 4)
    sway_u = 0.15 * np.sin(3 * turn * v + phases[0]) + 0.05 * np.sin(11 * turn * v + phases[1])
    sway_v = 0.15 * np.sin(3 * turn * u + phases[2]) + 0.05 * np.sin(11 * turn * u + phases[3])
    height = pattern((u + sway_u).astype(np.float32), (v + sway_v).astype(np.float32))
    # Equal mean and spread for every pattern: neither brightness nor contrast may name the class.
    level = 0.5 + 0.25 * (height - height.mean()) / height.std()
    return level.clip(0, 1).astype(np.float32)


def paint_background(rng: np.random.Generator) -> Array:
    """Soft discs of colour on a plain wall: (2 * HEIGHT, 2 * WIDTH, 3) in [0, 1]."""
    y, x = np.mgrid[0 : 2 * HEIGHT, 0 : 2 * WIDTH].astype(np.float32) / HEIGHT
    image = colour(rng, rng.uniform(0.2, 0.7)) * (0.75 + 0.25 * y[..., None])
    for _ in range(rng.integers(10, 25)):
        centre = rng.uniform((0, 0), (2 * WIDTH / HEIGHT, 2))
        size, softness = rng.uniform(0.05, 0.4), rng.uniform(0.01, 0.08)
        cover = 0.7 * disc(x - centre[0], y - centre[1], size, softness)
        image += cover[..., None] * (colour(rng, rng.uniform(0.1, 0.85)) - image)
    return image.clip(0, 1).astype(np.float32)
