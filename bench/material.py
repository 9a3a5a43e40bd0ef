"""What is measured on: frames of the clips in data/, in a frame store."""

from pathlib import Path

import numpy as np
import pandas as pd

from bench.project import ROOT
from stemtune.core import params
from stemtune.core.settings.frames import EmbedFrames
from stemtune.ingest import clips
from stemtune.media import decoding
from stemtune.networks import weights
from stemtune.store import frame_store, manifest

SETTINGS = params.load(ROOT / "params.yaml")


def fill_frame_store(folder: Path, count: int, per_clip: int, side: int) -> pd.DataFrame:
    """Fills a frame store with frames of clips in data/, an equal number of each class.

    Args:
        folder: Where the entries go.
        count: How many frames.
        per_clip: How many of each clip.
        side: Of the stored frames, px.

    Returns:
        A row per frame as `manifest.frame_table` has them; every fourth clip is for validation.

    Raises:
        ValueError: data/ has too few clips.
    """
    found = clips.find_clips(ROOT / "data")
    labels = sorted({clip.label for clip in found})
    by_class = [[clip for clip in found if clip.label == label] for label in labels]
    taken = [clip for abreast in zip(*by_class, strict=False) for clip in abreast]
    if len(taken) * per_clip < count:
        raise ValueError(
            f"{ROOT / 'data'} has {len(taken)} clips, an equal number of each class, and {count} "
            f"frames take {-(-count // per_clip)}; `dvc pull data.dvc` brings the sample clips"
        )
    rows = []
    for number, clip in enumerate(taken[: count // per_clip]):
        sample = decoding.sample_frames(clip.path, per_clip, side, SETTINGS.extract_frames.limits)
        name = f"clip_{number:05}"
        frame_store.write(folder, name, frame_store.Measurements(), sample.frames)
        rows += [
            {
                "clip": clip.name,
                "class": clip.label,
                "label": labels.index(clip.label),
                "shard": name,
                "index": index,
                "split": manifest.TRAIN if number % 4 else manifest.VALIDATION,
            }
            for index in range(per_clip)
        ]
    return pd.DataFrame(rows)


def read_all(folder: Path, table: pd.DataFrame, side: int) -> np.ndarray:
    """Returns the frames of a table's rows in memory, (rows, side, side, 3), uint8."""
    names = table["shard"].unique()
    return np.concatenate([frame_store.read(folder, name, side) for name in names])


def packaged_or_random(backbone: str) -> Path | None:
    """Returns the weights file of a backbone whose weights are packaged; None for the others."""
    packaged = backbone.startswith("efficientnet")
    chosen = EmbedFrames(
        backbones=[backbone], weights={} if packaged else {backbone: "random"}, input_sizes={}
    )
    return weights.fetch_all(chosen)[backbone]
