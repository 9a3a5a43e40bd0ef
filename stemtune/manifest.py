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

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from stemtune import splits
from stemtune.clips import Clip
from stemtune.files import replacing
from stemtune.params import Split

MIXED = "mixed"
NOTHING: dict[str, Any] = {
    "frame_seconds": [],
    "width": 0,
    "height": 0,
    "duration": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
}


def make(
    found: Sequence[Clip],
    shard_names: Sequence[str],
    outcomes: Mapping[str, dict[str, Any] | str],
    split: Split,
) -> pd.DataFrame:
    """Makes the manifest.

    Args:
        found: Clips.
        shard_names: The name of each clip's shard.
        outcomes: By shard name, the measurements (the columns of `NOTHING`) or the reason why the clip
            is quarantined.
        split: How frames are dealt.

    Returns:
        A row per clip, in the order of `found`.
    """
    rows = []
    for clip, shard in zip(found, shard_names, strict=True):
        outcome = outcomes[shard]
        reason = outcome if isinstance(outcome, str) else ""
        measured = NOTHING if isinstance(outcome, str) else outcome
        dealt = splits.frame_splits(clip, len(measured["frame_seconds"]), split)
        row = {
            "clip": clip.name,
            "class": clip.label,
            "group": clip.group,
            "sha256": clip.sha256,
            "shard": "" if reason else shard,
            "split": dealt[0] if len(set(dealt)) == 1 else MIXED if dealt else "",
            "frame_splits": dealt,
            **measured,
            "quarantined": reason,
        }
        rows.append(row)
    return pd.DataFrame(rows)


def measurements(path: Path) -> dict[str, dict[str, Any]]:
    """Returns the columns of `NOTHING` of an earlier manifest by shard name; none if it is missing."""
    if not path.exists():
        return {}
    used = used_clips(read(path))
    rows = used[list(NOTHING)].to_dict("records")
    return {shard: dict(row) for shard, row in zip(used["shard"], rows, strict=True)}


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
