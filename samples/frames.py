"""Frames: a scene as a shot films it at one moment."""

import math
from collections.abc import Iterator

import numpy as np

from samples.canvas import HEIGHT, WIDTH, Array, disc
from samples.scenes import TEXELS_PER_CELL, Scene
from samples.shapes import Surface
from samples.shots import Passer, Shot

SAMPLES_PER_PIXEL = 8


def render_frame(scene: Scene, shot: Shot, frame: int, rng: np.random.Generator) -> Array:
    """Render one frame: (HEIGHT, WIDTH, 3) in [0, 1]; ``rng`` gives the sensor's noise."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    time = frame / shot.frames
    image = film_background(scene, shot, x, y, time)
    film_object(image, scene, shot, x, y, time, rng)
    if shot.passer:
        film_passer(image, shot.passer, x, y, time)
    warmth = shot.warmth.at(time)
    image *= shot.light.at(time) * np.array([1 + warmth, 1, 1 - warmth], np.float32)
    image += np.float32(shot.noise) * rng.standard_normal(image.shape, np.float32)
    return image.clip(0, 1)


def film_background(scene: Scene, shot: Shot, x: Array, y: Array, time: float) -> Array:
    """The background behind the frame; it lies far off, so it moves less than the object."""
    zoom = 1 + 0.3 * (shot.zoom.at(time) - 1)
    column = (x - WIDTH / 2) / zoom - 0.4 * (shot.x.at(time) - WIDTH / 2) + WIDTH
    row = (y - HEIGHT / 2) / zoom - 0.4 * (shot.y.at(time) - HEIGHT / 2) + HEIGHT
    return scene.background[row.astype(np.intp), column.astype(np.intp)]


def film_object(
    image: Array,
    scene: Scene,
    shot: Shot,
    x: Array,
    y: Array,
    time: float,
    rng: np.random.Generator,
) -> None:
    """Lay the object over ``image``, averaged over each pixel, the lens and the shutter's time."""
    box = bounds(scene, shot, time)
    image, x, y = image[box], x[box], y[box]
    level, cover = np.zeros_like(x), np.zeros_like(x)
    for dx, dy, share in lens_samples(shot, rng):
        moment = time + shot.shutter * share / shot.frames
        surface = project(scene, shot, x + dx, y + dy, moment)
        level += surface.inside * look_up(scene, surface.s, surface.t)
        cover += surface.inside
    surface = project(scene, shot, x, y, time)
    brightness = shade(shot, surface, time)[..., None]
    level, cover = level[..., None] / SAMPLES_PER_PIXEL, cover[..., None] / SAMPLES_PER_PIXEL
    # The colours are linear in the pattern's level, so its mean over the samples is enough.
    colours = scene.low * cover + (scene.high - scene.low) * level
    image *= 1 - cover
    image += colours * brightness


def bounds(scene: Scene, shot: Shot, time: float) -> tuple[slice, slice]:
    """The rows and columns of the frame that the object can reach, with its blur."""
    reach = 1.8 * scene.radius * shot.zoom.at(time)
    x, y = shot.x.at(time), shot.y.at(time)
    return (
        slice(max(0, int(y - reach)), min(HEIGHT, int(y + reach) + 1)),
        slice(max(0, int(x - reach)), min(WIDTH, int(x + reach) + 1)),
    )


def lens_samples(shot: Shot, rng: np.random.Generator) -> Iterator[tuple[float, float, float]]:
    """Offsets within a pixel and across the lens (pixels), and shares of the shutter's time."""
    shares = rng.permutation(SAMPLES_PER_PIXEL)
    for i in range(SAMPLES_PER_PIXEL):
        angle = 2.4 * i  # the golden angle spreads the samples evenly over the disc
        radius = shot.focus_blur * math.sqrt((i + 0.5) / SAMPLES_PER_PIXEL)
        yield (
            radius * math.cos(angle) + rng.uniform(-0.5, 0.5),
            radius * math.sin(angle) + rng.uniform(-0.5, 0.5),
            (shares[i] + rng.random()) / SAMPLES_PER_PIXEL,
        )


def project(scene: Scene, shot: Shot, x: Array, y: Array, time: float) -> Surface:
    """The object's surface behind the pixels ``x``, ``y``."""
    scale = 1 / (scene.radius * shot.zoom.at(time))
    cos, sin = scale * math.cos(shot.roll.at(time)), scale * math.sin(shot.roll.at(time))
    x, y = x - np.float32(shot.x.at(time)), y - np.float32(shot.y.at(time))
    x, y = cos * x + sin * y, cos * y - sin * x
    depth = 1 + scene.tilt[0] * x + scene.tilt[1] * y
    return scene.shape(x / depth, y / depth, shot.ripple * time)


def look_up(scene: Scene, s: Array, t: Array) -> Array:
    """The pattern's level at surface coordinates in radii, from the nearest texel."""
    texels = scene.radius / scene.pitch * TEXELS_PER_CELL
    cos, sin = texels * math.cos(scene.grain), texels * math.sin(scene.grain)
    side = len(scene.tile)
    column = (cos * s + sin * t).astype(np.int32) % side
    row = (cos * t - sin * s).astype(np.int32) % side
    return scene.tile.ravel().take(row * side + column)


def shade(shot: Shot, surface: Surface, time: float) -> Array:
    """How brightly the lamp lights a surface."""
    nz = np.sqrt(np.maximum(1 - surface.nx**2 - surface.ny**2, 0))
    angle = shot.lamp.at(time)
    facing = 0.55 * (math.cos(angle) * surface.nx + math.sin(angle) * surface.ny) + 0.83 * nz
    return 0.3 + 0.8 * np.maximum(facing, 0)


def film_passer(image: Array, passer: Passer, x: Array, y: Array, time: float) -> None:
    """Lay a body that crosses the frame over ``image``."""
    x = x - np.float32(passer.start + (passer.end - passer.start) * time)
    y = (y - np.float32(passer.level)) / np.float32(passer.lean)
    cover = 0.95 * disc(x, y, passer.size, 4)[..., None]
    image += cover * (passer.colour - image)
