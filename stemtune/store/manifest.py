"""The manifest: a row per clip with what it is, where its frames are and which split they are in.

Columns of manifest.parquet:

| column | type | meaning |
|---|---|---|
| clip | string | path below the data folder |
| class | string | by its folders: the first, or the one beside `extract_frames.split.folders` |
| group | string | source that the clip shares with others |
| grouped_by | string | what says so: groups.csv, name, footage, or content for a clip alone |
| sha256 | string | checksum of the file; empty when it cannot be read |
| shard | string | key of its entry in the frame store; empty when it has none |
| split | string | train, validation or test; "mixed" when frames are split one by one |
| frame_splits | list of string | split of each frame |
| frame_seconds | list of float | when each frame is shown, from the clip's start |
| frame_side | integer | of the frames, px |
| available | integer | how many different frames there were for them; fewer when some repeat |
| width, height | integer | of the clip as shown, px |
| duration | float | seconds |
| brightness | float | mean of the frames' pixels, 0 to 255 |
| contrast | float | standard deviation of the frames' pixels |
| hashes | list of string | perceptual hashes of the frames that show something |
| quarantined | string | why the clip is left out; empty for the others |

A quarantined clip is in no split, and one that cannot be decoded has zeros and empty lists.
"""

from pathlib import Path

import pandas as pd
from pyarrow import ArrowInvalid

from stemtune.core.errors import InputError, Missing
from stemtune.core.files import replacing

MIXED = "mixed"
TRAIN, VALIDATION, TEST = SPLITS = ("train", "validation", "test")


def write(table: pd.DataFrame, path: Path) -> None:
    """Writes the manifest as Parquet; equal tables give equal bytes."""
    with replacing(path) as beside:
        table.to_parquet(beside, index=False)


def read(path: Path) -> pd.DataFrame:
    """Reads the manifest: a row per clip.

    Raises:
        Missing: There is none.
        InputError: It is damaged.
    """
    if not path.exists():
        raise Missing(path)
    try:
        return pd.read_parquet(path)
    except ArrowInvalid as error:
        raise InputError(
            f"{path} is damaged ({error}); delete it, and `dvc repro` makes it again"
        ) from None


def used_clips(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows of the clips that have frames."""
    return table[table["quarantined"] == ""].reset_index(drop=True)


def classes(table: pd.DataFrame) -> list[str]:
    """Returns the class names in the order of their labels 0, 1, …"""
    return sorted(table["class"].unique())


def clips_per_split(table: pd.DataFrame) -> pd.DataFrame:
    """Returns how many clips have frames in each split (columns), by class (rows)."""
    counts = frame_table(table).groupby(["class", "split"])["clip"].nunique()
    return counts.unstack(fill_value=0).reindex(
        index=classes(table), columns=list(SPLITS), fill_value=0
    )


def frame_table(table: pd.DataFrame) -> pd.DataFrame:
    """Returns a row per frame: clip, class, label, group, shard, index in the shard, split."""
    used = used_clips(table)
    labels = {name: label for label, name in enumerate(classes(table))}
    frames = used[["clip", "class", "group", "shard", "frame_splits"]].explode("frame_splits")
    frames = frames.rename(columns={"frame_splits": "split"})
    frames["label"] = frames["class"].map(labels)
    frames["index"] = frames.groupby(level=0).cumcount()
    return frames.reset_index(drop=True)


def shards(frames: pd.DataFrame, split: str | None = None) -> list[str]:
    """Returns the shards of the clips in a frame table, or of those with frames in a split."""
    rows = frames if split is None else frames[frames["split"] == split]
    return sorted(rows["shard"].unique())
