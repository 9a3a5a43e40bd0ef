"""Embeddings: a frozen backbone's features of every frame, computed once and kept.

`embeddings/<backbone>/<side>/<shard>.tfrecord` holds the features of the frames in
`frames/<shard>.tfrecord`, seen at that side. `embeddings/<backbone>/backbone.json` says which
network computed them. Of several views a shard holds all frames in one view after the other.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from stemtune.core import files, litter, views
from stemtune.store import shards
from stemtune.store.frame_store import read_clip

DTYPE = "float32"
IDENTITY_FILE = "backbone.json"
Embed = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Identity:
    """What decides about the features of a frame: another identity, other features."""

    features: int
    weights: str
    threads: int
    input_size: int | None = None
    views: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Wanted:
    """Features that a folder has to hold: of these shards, seen at these sides, px.

    Attributes:
        views: Of each frame, as `views.view` numbers them.
    """

    folder: Path
    sides: Sequence[int]
    shards: Sequence[str]
    views: Sequence[int] = (0,)


@dataclass(frozen=True)
class Gap:
    """What a backbone's features at one side lack.

    Attributes:
        backbone: Its name.
        folder: Where the features of that side lie.
        side: At which the backbone sees the frames, px.
        missing: Shards without features.
        kept: How many shards have theirs.
        features: Of a frame.
        views: Of each frame.
    """

    backbone: str
    folder: Path
    side: int
    missing: Sequence[str]
    kept: int
    features: int
    views: Sequence[int]

    @property
    def title(self) -> str:
        """What is said to be embedded."""
        more = f", {len(self.views)} more views" if 0 not in self.views else ""
        return f"{self.backbone} at {self.side} px{more}"


def remove_other_backbones(folder: Path, keep: Sequence[str]) -> None:
    """Deletes the features of backbones that are not in `keep`; makes the folder if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in litter.visible(folder):
        if path.name not in keep:
            files.remove(path)


def prepare(folder: Path, backbone: str, identity: Identity, sides: Sequence[int]) -> None:
    """Makes room for a backbone; deletes features of another identity and of other sides."""
    home = folder / backbone
    known = (home / IDENTITY_FILE).exists() and _read_identity(home) == identity
    if home.exists() and not known:
        files.remove(home)
    for side in sides:
        side_folder(folder, backbone, side).mkdir(parents=True, exist_ok=True)
    files.write_json(home / IDENTITY_FILE, asdict(identity))
    wanted = {IDENTITY_FILE, *map(str, sides)}
    for path in litter.visible(home):
        if path.name not in wanted:
            files.remove(path)


def side_folder(folder: Path, backbone: str, side: int) -> Path:
    """Returns where the features of frames of that side lie."""
    return folder / backbone / str(side)


def sides(folder: Path, backbones: Sequence[str]) -> list[int]:
    """Returns the sides at which all of the backbones saw frames, px, in rising order."""
    seen = [{path.name for path in litter.visible(folder / name)} for name in backbones]
    return sorted(int(name) for name in set.intersection(*seen) - {IDENTITY_FILE})


def missing(folder: Path, names: Sequence[str], features: int) -> list[str]:
    """Returns the shards that a side's folder lacks, after deleting those of removed clips."""
    shards.remove_others(folder, keep=set(names))
    return [name for name in names if not _has(folder, name, features)]


def plan(wanted: Sequence[Wanted], backbone: str, identity: Identity) -> list[Gap]:
    """Makes room for a backbone, and returns what it lacks at each side of each folder."""
    gaps = []
    for each in wanted:
        prepare(each.folder, backbone, replace(identity, views=tuple(each.views)), each.sides)
        for side in each.sides:
            folder = side_folder(each.folder, backbone, side)
            lacking = missing(folder, each.shards, identity.features)
            kept = len(each.shards) - len(lacking)
            gaps.append(Gap(backbone, folder, side, lacking, kept, identity.features, each.views))
    return gaps


def fill(gap: Gap, frames: Path, size: int, embed: Embed, clips: int = 1) -> int:
    """Embeds what a backbone's features lack at one side; what is whole by now stays.

    Args:
        gap: From `plan`, or a part of one.
        frames: The frame store.
        size: Side of the stored frames, px.
        embed: As `embed_shards` takes it.
        clips: As `embed_shards` takes it.

    Returns:
        The number of frames embedded.
    """
    lacking = [name for name in gap.missing if not _has(gap.folder, name, gap.features)]
    return embed_shards(frames, gap.folder, lacking, size, embed, gap.title, clips, gap.views)


def embed_shards(
    frames: Path,
    folder: Path,
    names: Sequence[str],
    size: int,
    embed: Embed,
    description: str,
    clips: int = 1,
    shown: Sequence[int] = (0,),
) -> int:
    """Embeds shards of frames.

    Args:
        frames: The frame store.
        folder: Where the features go.
        names: Shards to embed.
        size: Side of the stored frames, px.
        embed: From frames (n, size, size, 3), uint8, to features (n, d), float32.
        description: For the progress bar, which shows on a terminal only.
        clips: Of how many clips the frames are embedded at a time. Of one, a clip's features depend
            on nothing but the clip; of more, its neighbours may change their last bits.
        shown: The views of frames to embed.

    Returns:
        The number of frames embedded, each view counted.
    """
    count = 0
    with tqdm(total=len(names), desc=description, unit="clip", disable=None) as progress:
        for some in (names[start : start + clips] for start in range(0, len(names), clips)):
            stored = [read_clip(frames, name, size) for name in some]
            ends = np.cumsum([len(clip) for clip in stored])
            together = np.concatenate(stored)
            features = embed(np.concatenate([views.view(together, one) for one in shown]))
            by_view = [np.split(of_one, ends[:-1]) for of_one in np.split(features, len(shown))]
            for name, *of_clip in zip(some, *by_view, strict=True):
                shards.write(shards.path_of(folder, name), np.concatenate(of_clip))
            count += ends[-1] * len(shown)
            progress.update(len(some))
    return int(count)


def load(folder: Path, backbones: Sequence[str], side: int, frames: pd.DataFrame) -> np.ndarray:
    """Returns the features of frames, those of several backbones side by side.

    Args:
        folder: `embeddings/`.
        backbones: Whose features, in this order.
        side: At which the frames were seen, px.
        frames: Rows of `manifest.frame_table`.

    Returns:
        Array (views x rows, features), float32: all rows in one view after the other.
    """
    known = [_read_identity(folder / backbone) for backbone in backbones]
    widths, shown = [identity.features for identity in known], len(known[0].views)
    # Filled clip by clip, as these are the largest arrays that there are.
    features = np.empty((shown, len(frames), sum(widths)), DTYPE)
    indexes = frames["index"].to_numpy()
    rows_of = frames.groupby("shard").indices
    for backbone, width, end in zip(backbones, widths, accumulate(widths), strict=True):
        home = side_folder(folder, backbone, side)
        for name, rows in rows_of.items():
            clip = shards.read(shards.path_of(home, str(name)), (width,), DTYPE)
            by_view = clip.reshape(shown, -1, width)
            features[:, rows, end - width : end] = by_view[:, indexes[rows]]
    return features.reshape(-1, sum(widths))


def _has(folder: Path, name: str, features: int) -> bool:
    return shards.is_whole(shards.path_of(folder, name), (features,), DTYPE)


def _read_identity(home: Path) -> Identity:
    identity = Identity(**files.read_json(home / IDENTITY_FILE))
    return replace(identity, views=tuple(identity.views))
