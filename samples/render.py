"""Render the sample clips: made-up objects whose surface pattern is their class.

Every class draws its objects, colours, cameras, light and noise from the same distributions. Only
the pattern on the surface tells the classes apart, and its repeat is a few pixels long, so halving
the side of a frame takes away much of what a classifier needs.

Run ``python -m samples.render OUTPUT_FOLDER``. The same machine renders the same bytes every time.
"""

import argparse
import csv
import math
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

Array = npt.NDArray[np.floating]

WIDTH, HEIGHT = 320, 240  # pixels
FRAMES_PER_SECOND = 12
CRF = 27  # x264's constant quality: higher is smaller and coarser
SCENES_PER_CLASS = 14
CLIPS_PER_SCENE = 3

SAMPLES_PER_PIXEL = 8
TILE_CELLS = 32  # repeats of the pattern along one side of a texture tile
TEXELS_PER_CELL = 16

RADIUS = (105.0, 135.0)  # of an object, pixels at zoom 1
PITCH = (11.0, 14.0)  # pixels per repeat of a pattern, at zoom 1
CONTRAST = (0.4, 0.5)  # difference in value between the two colours of a pattern
ZOOM = (0.95, 1.1)
FOCUS_BLUR = (0.0, 1.2)  # radius in pixels
SHUTTER = (0.1, 0.6)  # share of the time between frames
NOISE = (0.005, 0.03)  # standard deviation of the sensor noise, in [0, 1] intensity
PASSER_SHARE = 0.3  # of the clips have a body pass before the object


# --- patterns: heights in [0, 1] over coordinates counted in repeats --------------------------


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


# --- shapes: where a surface is, how its pattern lies on it and which way it faces ------------


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


# --- scenes: what all clips of a group share ---------------------------------------------------


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
        shape=SHAPES[scene % len(SHAPES)],  # in turn, so that every class has each as often
        tile=paint_tile(PATTERNS[class_name], rng),
        low=colour(rng, value - contrast / 2),
        high=colour(rng, value + contrast / 2),
        background=paint_background(rng),
        radius=rng.uniform(*RADIUS),
        pitch=rng.uniform(*PITCH),
        grain=rng.uniform(-0.3, 0.3),
        tilt=(rng.uniform(-0.15, 0.15), rng.uniform(-0.15, 0.15)),
    )


def seeded(*names: object) -> np.random.Generator:
    """A generator that depends on ``names`` alone."""
    return np.random.default_rng(zlib.crc32("/".join(map(str, names)).encode()))


def colour(rng: np.random.Generator, value: float) -> Array:
    """A random colour, (3,) in [0, 1], whose channels have the mean ``value``."""
    hue = rng.uniform(0, 2 * np.pi) + np.arange(3) * 2 * np.pi / 3
    return (value * (1 + rng.uniform(0.05, 0.45) * np.cos(hue))).clip(0, 1).astype(np.float32)


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


def disc(x: Array, y: Array, radius: float, softness: float) -> Array:
    """How much a soft-edged disc about the origin covers, in [0, 1]."""
    outside = (np.sqrt(x * x + y * y) - radius) / softness
    return (1 / (1 + np.exp(outside.clip(-50, 50)))).astype(np.float32)


# --- shots: one camera path, light and noise over a scene --------------------------------------


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


# --- frames ------------------------------------------------------------------------------------


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


# --- clips -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClipName:
    """What a clip shows, and so all that its pixels depend on."""

    class_name: str
    scene: int
    clip: int

    @property
    def path(self) -> str:
        """The clip's path, relative to the output folder, with forward slashes."""
        return f"{self.class_name}/{self.class_name}_s{self.scene:02d}_c{self.clip}.mp4"

    @property
    def group(self) -> str:
        """The scene's name, which all clips of the scene share."""
        return f"{self.class_name}_s{self.scene:02d}"


def all_clips() -> list[ClipName]:
    """Every clip of the sample set."""
    return [
        ClipName(class_name, scene, clip)
        for class_name in PATTERNS
        for scene in range(SCENES_PER_CLASS)
        for clip in range(CLIPS_PER_SCENE)
    ]


def render_clip(name: ClipName) -> Iterator[Array]:
    """Render a clip's frames, each (HEIGHT, WIDTH, 3) float32 in [0, 1]."""
    scene = make_scene(name.class_name, name.scene)
    rng = seeded(name.class_name, name.scene, name.clip)
    shot = draw_shot(rng)
    for frame in range(shot.frames):
        yield render_frame(scene, shot, frame, rng)


def write_clip(folder: Path, name: ClipName) -> Path:
    """Render a clip into ``folder``, under its class, and return the H.264 file's path."""
    path = folder / name.path
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    options = {"crf": str(CRF), "preset": "slower"}
    with av.open(str(beside), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        # With several threads x264 may write other bytes on a machine with other cores.
        stream.codec_context.thread_count = 1
        for image in render_clip(name):
            pixels = (image * 255 + 0.5).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    beside.replace(path)
    return path


def write_groups(folder: Path, names: Iterable[ClipName]) -> None:
    """Write ``groups.csv``, the scene of each clip, into ``folder``."""
    beside = folder / "groups.csv.part"
    with beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("clip", "group"))
        writer.writerows((name.path, name.group) for name in names)
    beside.replace(folder / "groups.csv")


def render(folder: Path, names: Sequence[ClipName], workers: int) -> None:
    """Render clips and their ``groups.csv`` into a new or empty folder, in ``workers`` processes.

    Raises:
        FileExistsError: The folder holds something already, or is a file.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(
            f"output folder {folder} exists and is not an empty folder: name a new folder or an "
            "empty one"
        )
    with ProcessPoolExecutor(workers) as pool:
        written = pool.map(partial(write_clip, folder), names)
        for _ in tqdm(written, total=len(names), unit="clip", disable=None):
            pass
    write_groups(folder, names)


def main(arguments: Sequence[str] | None = None) -> None:
    """Render the sample set from the command line."""
    parser = argparse.ArgumentParser(prog="python -m samples.render", description=__doc__)
    parser.add_argument("output_folder", type=Path, help="a new or empty folder for the clips")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    options = parser.parse_args(arguments)
    try:
        render(options.output_folder, all_clips(), options.workers)
    except FileExistsError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
