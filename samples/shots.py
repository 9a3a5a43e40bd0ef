"""Shots: one camera path, light and noise over a scene."""

import math
from dataclasses import dataclass

import numpy as np

from samples.canvas import HEIGHT, WIDTH, Array, colour

FRAMES_PER_SECOND = 12
ZOOM = (0.95, 1.1)
FOCUS_BLUR = (0.0, 1.2)  # radius in pixels
SHUTTER = (0.1, 0.6)  # share of the time between frames
NOISE = (0.005, 0.03)  # standard deviation of the sensor noise, in [0, 1] intensity
PASSER_SHARE = 0.3  # of the clips have a body pass before the object


@dataclass(frozen=True)
class Drift:
    """A value that drifts over a clip and shakes about its drift."""

    middle: float
    change: float  # over the whole clip
    shake: float
    frequencies: tuple[float, float]  # radians over the whole clip
    phases: tuple[float, float]

    def at(self, time: float) -> float:
        """The value at ``time``, from 0 at the clip's start to 1 at its end."""
        pairs = zip(self.frequencies, self.phases, strict=True)
        waves = sum(math.sin(frequency * time + phase) for frequency, phase in pairs)
        return self.middle + self.change * (time - 0.5) + self.shake * waves / 2


def draw_drift(rng: np.random.Generator, middle: float, change: float, shake: float) -> Drift:
    """Draw a drift about ``middle``, of at most ``change`` and with at most ``shake`` on top."""
    return Drift(
        middle,
        rng.uniform(-change, change),
        rng.uniform(0, shake),
        (rng.uniform(3, 8), rng.uniform(10, 25)),
        (rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi)),
    )


@dataclass(frozen=True)
class Passer:
    """A blurred body that crosses the frame before the object."""

    start: float  # pixels
    end: float
    level: float
    size: float
    lean: float  # height over width
    colour: Array  # (3,) in [0, 1]


@dataclass(frozen=True)
class Shot:
    """How one clip films its scene."""

    frames: int
    x: Drift  # the object's place in the frame, pixels
    y: Drift
    zoom: Drift
    roll: Drift  # radians
    light: Drift  # the lamp's brightness
    lamp: Drift  # the lamp's direction, radians
    warmth: Drift  # the lamp's colour, from blue below 0 to red above
    ripple: float  # how far a cloth's waves run over the clip, radians
    shutter: float  # share of the time between two frames
    focus_blur: float  # radius, pixels
    noise: float  # standard deviation
    passer: Passer | None


def draw_shot(rng: np.random.Generator) -> Shot:
    """Draw a clip's length, camera, light and noise."""
    return Shot(
        frames=int(rng.integers(2 * FRAMES_PER_SECOND, 5 * FRAMES_PER_SECOND // 2, endpoint=True)),
        x=draw_drift(rng, WIDTH / 2 + rng.uniform(-25, 25), 60, 4),
        y=draw_drift(rng, HEIGHT / 2 + rng.uniform(-20, 20), 40, 4),
        zoom=draw_drift(rng, rng.uniform(*ZOOM), 0.2, 0.02),
        roll=draw_drift(rng, rng.uniform(-0.2, 0.2), 0.3, 0.03),
        light=draw_drift(rng, rng.uniform(0.75, 1.15), 0.5, 0.08),
        lamp=draw_drift(rng, rng.uniform(0, 2 * np.pi), 1.5, 0.1),
        warmth=draw_drift(rng, rng.uniform(-0.08, 0.08), 0.1, 0.01),
        ripple=rng.uniform(2, 6),
        shutter=rng.uniform(*SHUTTER),
        focus_blur=rng.uniform(*FOCUS_BLUR),
        noise=rng.uniform(*NOISE),
        passer=draw_passer(rng) if rng.random() < PASSER_SHARE else None,
    )


def draw_passer(rng: np.random.Generator) -> Passer:
    """Draw a body that crosses the whole frame, to the left or to the right."""
    start, end = rng.permutation([-60.0, WIDTH + 60.0])
    return Passer(
        start,
        end,
        level=rng.uniform(0.2, 0.9) * HEIGHT,
        size=rng.uniform(18, 40),
        lean=rng.uniform(0.5, 2),
        colour=colour(rng, rng.uniform(0.05, 0.6)),
    )
