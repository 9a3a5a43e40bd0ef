"""Fills gaps in the embeddings with backbones that are built once in each process."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import keras
import tensorflow as tf

from stemtune.core import files, terminal
from stemtune.core.paths import FRAMES
from stemtune.engine.engine import Engine, Heard, split
from stemtune.networks import backbones
from stemtune.store import embeddings

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
    """Clips that a backbone has to embed.

    Attributes:
        backbone: Whose features are missing.
        lacking: The targets without features, by clip.
        frames_per_clip: The most that a clip has.
        size: Side of the stored frames, px.
    """

    backbone: Backbone
    lacking: embeddings.Work
    frames_per_clip: int
    size: int


@cache
def network(backbone: Backbone) -> keras.Model:
    """Returns a backbone, the same model each time."""
    return backbones.build(backbone.name, backbone.source, backbone.seed, backbone.input_size)


@cache
def embedder(backbone: Backbone, frames: int, size: int, side: int) -> embeddings.Embed:
    """Returns `backbones.embedder`, compiled once: clip by clip, frames are seen at all sides."""
    return backbones.embedder(network(backbone), frames, size, side)


def fill(wanted: Embedding, tell: Heard) -> int:
    """Embeds clips, tells of how many, and returns how many frames were embedded."""
    clips = clips_at_once(wanted.frames_per_clip)

    def embed(target: embeddings.Target) -> embeddings.Embed:
        frames = wanted.frames_per_clip * len(target.views) * clips
        at_once = min(frames, FRAMES_ON_PROCESSOR if clips == 1 else FRAMES_ON_GPU)
        return embedder(wanted.backbone, at_once, wanted.size, target.side)

    return embeddings.fill(FRAMES, wanted.size, wanted.lacking, embed, clips, tell)


def clips_at_once(frames_per_clip: int) -> int:
    """Returns of how many clips a network is given the frames at a time.

    On processors, where a clip's frames are enough work, it is one, so that the clip's features
    depend on nothing but the clip. On a GPU there are as many as fill it.
    """
    if not tf.config.list_physical_devices("GPU"):
        return 1
    return max(1, FRAMES_ON_GPU // frames_per_clip)


def fill_all(
    backbone: Backbone, lacking: embeddings.Work, frames_per_clip: int, size: int, engine: Engine
) -> int:
    """Embeds what a backbone lacks, and returns how many frames it embedded.

    Args:
        backbone: Whose features are missing.
        lacking: From `embeddings.plan`.
        frames_per_clip: The most that a clip has.
        size: Side of the stored frames, px.
        engine: Where clips are embedded.
    """
    chunks = [
        Embedding(backbone, {key: lacking[key] for key in keys}, frames_per_clip, size)
        for keys in split(engine, [*lacking])
    ]
    with terminal.steps(backbone.name, len(lacking), "clips"):
        return sum(engine.map(fill, chunks, terminal.move))
