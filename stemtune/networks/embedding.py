"""Fills gaps in the embeddings with backbones that are built once in each process."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path

import keras
import tensorflow as tf

from stemtune.core import files
from stemtune.core.paths import FRAMES
from stemtune.engine.engine import Engine, split
from stemtune.networks import backbones
from stemtune.store import embeddings
from stemtune.store.embeddings import Gap

# How many a chunk has that is embedded elsewhere.
CLIPS = 32
# Frames that keep a GPU busy: with those of one clip it waits for most of the time.
FRAMES_ON_GPU = 128
# With more at a time a processor is no faster, and needs more memory.
FRAMES_ON_PROCESSOR = 32


@dataclass(frozen=True)
class Backbone:
    """What a frozen backbone is built of; another process builds the same from it.

    Attributes:
        name: One of `backbones.REGISTRY`.
        source: As `backbones.build` takes a weights file.
        seed: Of random weights.
        input_size: As `backbones.build` takes it.
    """

    name: str
    source: Path | None
    seed: int
    input_size: int | None

    def identity(self, threads: int) -> embeddings.Identity:
        """Returns the settings that its features depend on, the number of threads included."""
        checksum = files.sha256(self.source) if self.source else f"random {self.seed}"
        features = network(self).output_shape[-1]
        return embeddings.Identity(features, checksum, threads, self.input_size)


@dataclass(frozen=True)
class Embedding:
    """Gaps of one backbone to fill, all of the same frames per clip.

    Attributes:
        backbone: Whose features are missing.
        gap: Where, and of which clips.
        frames_per_clip: The most that a clip has.
        size: Side of the stored frames, px.
    """

    backbone: Backbone
    gap: Gap
    frames_per_clip: int
    size: int

    def parts(self, engine: Engine) -> list["Embedding"]:
        """Returns it in chunks of clips."""
        return [
            replace(self, gap=replace(self.gap, missing=names))
            for names in split(engine, self.gap.missing, CLIPS)
        ]


@cache
def network(backbone: Backbone) -> keras.Model:
    """Returns a backbone, the same model each time."""
    return backbones.build(backbone.name, backbone.source, backbone.seed, backbone.input_size)


@lru_cache(maxsize=1)
def embedder(backbone: Backbone, frames: int, size: int, side: int) -> embeddings.Embed:
    """Returns `backbones.embedder`, compiled once, as gaps at one side follow one another."""
    return backbones.embedder(network(backbone), frames, size, side)


def fill(wanted: Embedding) -> int:
    """Fills a gap, and returns how many frames were embedded."""
    gap, clips = wanted.gap, clips_at_once(wanted.frames_per_clip)
    frames = wanted.frames_per_clip * len(gap.views) * clips
    at_once = min(frames, FRAMES_ON_PROCESSOR if clips == 1 else FRAMES_ON_GPU)
    embed = embedder(wanted.backbone, at_once, wanted.size, gap.side)
    return embeddings.fill(gap, FRAMES, wanted.size, embed, clips)


def load() -> Callable[[Embedding], int]:
    """Returns `fill`, in a process that keeps its network."""
    return fill


def clips_at_once(frames_per_clip: int) -> int:
    """Returns of how many clips a network is given the frames at a time.

    On processors, where a clip's frames are enough work, it is one, so that the clip's features
    depend on nothing but the clip. On a GPU there are as many as fill it.
    """
    if not tf.config.list_physical_devices("GPU"):
        return 1
    return max(1, FRAMES_ON_GPU // frames_per_clip)


def fill_all(wanted: Sequence[Embedding], engine: Engine) -> int:
    """Fills gaps, says what it did for each, and returns how many frames it embedded."""
    parts = [each.parts(engine) for each in wanted]
    counts = engine.map_loaded(load, [part for several in parts for part in several])
    total, started = 0, time.perf_counter()
    for each, several in zip(wanted, parts, strict=True):
        count = sum(next(counts) for _ in several)
        now = time.perf_counter()
        print(
            f"embed_frames: {each.gap.title}: {len(each.gap.missing)} clips embedded, "
            f"{each.gap.kept} reused; {count} frames in {now - started:.1f} s",
            flush=True,
        )
        total, started = total + count, now
    return total
