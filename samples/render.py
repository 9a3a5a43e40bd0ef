"""Render the sample clips: made-up objects whose surface pattern is their class.

Every class draws its objects, colours, cameras, light and noise from the same distributions. Only
the pattern on the surface tells the classes apart, and its repeat is a few pixels long, so halving
the side of a frame takes away much of what a classifier needs.

Run ``python -m samples.render OUTPUT_FOLDER``. The same machine renders the same bytes every time.
``--first-scene 1000 --scenes 20`` renders scenes that the sample set lacks.
"""

import argparse
import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import av
import numpy as np
from tqdm import tqdm

from samples.canvas import HEIGHT, WIDTH, Array, seeded
from samples.frames import render_frame
from samples.patterns import PATTERNS
from samples.scenes import make_scene
from samples.shots import FRAMES_PER_SECOND, draw_shot

CRF = 27  # x264's constant quality: higher is smaller and coarser
SCENES_PER_CLASS = 55  # eleven of each shape
CLIPS_PER_SCENE = 1  # a second clip takes a scene's room, and scenes make results certain


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


def clips_of(first_scene: int = 0, scenes: int = SCENES_PER_CLASS) -> list[ClipName]:
    """Every clip of so many scenes of each class, from number ``first_scene`` on.

    The sample set has scenes 0 to ``SCENES_PER_CLASS - 1``; others are new to what was trained and
    chosen on it.
    """
    return [
        ClipName(class_name, scene, clip)
        for class_name in PATTERNS
        for scene in range(first_scene, first_scene + scenes)
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
    # Or x264 reads memory that was never written where a processor has AVX-512 (macroblock trees),
    # and writes other bytes each time.
    options = {"crf": str(CRF), "preset": "slower", "x264-params": "cpu-independent=1"}
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
    """Render the sample set, or other scenes, from the command line."""
    parser = argparse.ArgumentParser(prog="python -m samples.render", description=__doc__)
    parser.add_argument("output_folder", type=Path, help="a new or empty folder for the clips")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument(
        "--first-scene",
        type=int,
        default=0,
        help=f"number of each class's first scene; {SCENES_PER_CLASS} or more: new scenes",
    )
    parser.add_argument(
        "--scenes", type=int, default=SCENES_PER_CLASS, help="how many scenes of each class"
    )
    options = parser.parse_args(arguments)
    if options.first_scene < 0 or options.scenes < 1:
        parser.error(
            f"--first-scene {options.first_scene} and --scenes {options.scenes}: the first scene's "
            "number is 0 or more, and there is at least 1 scene"
        )
    names = clips_of(options.first_scene, options.scenes)
    try:
        render(options.output_folder, names, options.workers)
    except FileExistsError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
