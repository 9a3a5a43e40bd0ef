"""Embedding stored clips, against `predict` fed by tf.data, and against frames in memory."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench import measuring
from bench.material import SETTINGS, fill_frame_store, packaged_or_random, read_all
from stemtune.networks import reproducibility
from stemtune.store import frame_store

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

TARGET, IN_MEMORY_TARGET = 1.0, 0.85
SEED, PER_CLIP = 1, 4
PREDICT_BATCH = 32
# Relative to the largest feature: sums of another order.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Size:
    """Frames by network, random weights where there are no others; their side, px; and runs."""

    frames: dict[str, int]
    side: int
    runs: int


FULL = Size({"efficientnet_lite0": 128, "resnet50": 32, "vgg16": 16}, side=224, runs=3)
TINY = Size({"efficientnet_lite0": 8, "resnet50": 8, "vgg16": 8}, side=48, runs=1)


def measure(size: Size) -> list[measuring.Row]:
    """Returns the rows `embed/<network>` and `embed/<network>/in_memory`, in frames per second."""
    reproducibility.configure(SETTINGS.runtime)
    from stemtune.networks import backbones

    rows = []
    for name, count in size.frames.items():
        network = backbones.build(name, packaged_or_random(name), SEED)
        with tempfile.TemporaryDirectory() as temporary:
            rows += _measure(name, network, count, size, Path(temporary))
    return rows


def _measure(
    name: str, network: "keras.Model", count: int, size: Size, folder: Path
) -> list[measuring.Row]:
    import tensorflow as tf

    from stemtune.networks import backbones
    from stemtune.store import embeddings

    side = size.side
    store, home = folder / "frames", folder / "features"
    table = fill_frame_store(store, count, PER_CLIP, side)
    clips = list(table["shard"].unique())
    pixels = read_all(store, table, side)
    records = _write_records(store, clips, side, folder)
    embed = backbones.embedder(network, PER_CLIP, side, side)
    batched = np.split(pixels, len(clips))
    frames = tf.keras.Input((side, side, 3))
    plain = tf.keras.Model(frames, network(frames, training=False))
    features: dict[str, np.ndarray] = {}

    def ours() -> None:
        shutil.rmtree(home, ignore_errors=True)
        target = embeddings.Target(home, side)
        embeddings.fill(store, side, {clip: [target] for clip in clips}, lambda _: embed)

    def predict() -> None:
        features["predict"] = plain.predict(_dataset(records, count, side), verbose=0)

    def in_memory() -> None:
        features["in memory"] = np.concatenate([embed(batch) for batch in batched])

    def rate(work: Callable[[], None]) -> Callable[[], float]:
        return lambda: count / measuring.seconds(work)

    for work in (ours, predict, in_memory):
        work()
    made, predicted, held = measuring.in_turns(
        size.runs, rate(ours), rate(predict), rate(in_memory)
    )
    width = network.output_shape[-1]
    kept = [embeddings.read(home, clip, width) for clip in clips]
    for side_name, theirs in features.items():
        _require_equal(f"{name}, {side_name}", np.concatenate(kept), theirs)
    of = f"{count} frames of {side} px"
    return [
        measuring.of_rates(
            f"embed/{name}", made, predicted, f"frames/s, tf.data and predict, {of}", TARGET
        ),
        measuring.of_rates(
            f"embed/{name}/in_memory",
            made,
            held,
            f"frames/s, the same function on frames in memory, {of}",
            IN_MEMORY_TARGET,
        ),
    ]


def _write_records(store: Path, clips: list[str], side: int, folder: Path) -> list[str]:
    """Writes a TFRecord file for each clip, a record for each frame; returns their paths."""
    import tensorflow as tf

    paths = [str(folder / f"{clip}.tfrecord") for clip in clips]
    for clip, path in zip(clips, paths, strict=True):
        with tf.io.TFRecordWriter(path) as writer:
            for frame in frame_store.read(store, clip, side):
                writer.write(frame.tobytes())
    return paths


def _dataset(paths: list[str], count: int, side: int) -> "tf.data.Dataset":
    """Returns batches of the stored frames in [0, 1], read as TensorFlow's guides have it."""
    import tensorflow as tf

    def parse(record: tf.Tensor) -> tf.Tensor:
        frame = tf.reshape(tf.io.decode_raw(record, tf.uint8), (side, side, 3))
        return tf.cast(frame, tf.float32) / 255.0

    records = tf.data.TFRecordDataset(paths)
    parsed = records.map(parse, num_parallel_calls=tf.data.AUTOTUNE)
    counted = parsed.apply(tf.data.experimental.assert_cardinality(count))
    return counted.batch(PREDICT_BATCH).prefetch(tf.data.AUTOTUNE)


def _require_equal(what: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    """Raises AssertionError unless the features are the same up to rounding."""
    off = np.abs(ours - theirs).max() / np.abs(theirs).max()
    if ours.shape != theirs.shape or not off <= TOLERANCE:
        raise AssertionError(f"embed: the features of {what} differ by {off:.2g} of the largest")
