"""The manifest: a row per clip with what it is, where its frames are and which split they are in.

Columns of manifest.parquet:

| column | type | meaning |
|---|---|---|
| clip | string | path below the data folder |
| class | string | first folder of the path |
| group | string | source that the clip shares with others |
| sha256 | string | checksum of the file |
| shard | string | name of the shard with its frames, without suffix |
| split | string | train, validation or test; "mixed" when frames are dealt one by one |
| frame_splits | list of string | split of each frame |
| frame_seconds | list of float | when each frame is shown, from the clip's start |
| width, height | integer | of the clip as stored, px |
| duration | float | seconds |
| brightness | float | mean of the frames' pixels, 0 to 255 |
| contrast | float | standard deviation of the frames' pixels |
| quarantined | string | why the clip is left out; empty for the others |

A quarantined clip has no frames: an empty shard, split and lists, and zeros.
"""

from pathlib import Path

import pandas as pd

from stemtune.files import replacing

MIXED = "mixed"
TRAIN, VALIDATION, TEST = SPLITS = ("train", "validation", "test")


def write(table: pd.DataFrame, path: Path) -> None:
    """Writes the manifest as Parquet; equal tables give equal bytes."""
    with replacing(path) as beside:
        table.to_parquet(beside, index=False)


def read(path: Path) -> pd.DataFrame:
    """Reads the manifest: a row per clip."""
    return pd.read_parquet(path)


def used_clips(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows of the clips that have frames."""
    return table[table["quarantined"] == ""].reset_index(drop=True)


def classes(table: pd.DataFrame) -> list[str]:
    """Returns the class names in the order of their labels 0, 1, …"""
    return sorted(table["class"].unique())


def frame_table(table: pd.DataFrame) -> pd.DataFrame:
    """Returns a row per frame: clip, class, label, group, shard, index in the shard, split."""
    used = used_clips(table)
    labels = {name: label for label, name in enumerate(classes(table))}
    frames = used[["clip", "class", "group", "shard", "frame_splits"]].explode("frame_splits")
    frames = frames.rename(columns={"frame_splits": "split"})
    frames["label"] = frames["class"].map(labels)
    frames["index"] = frames.groupby(level=0).cumcount()
    return frames.reset_index(drop=True)
