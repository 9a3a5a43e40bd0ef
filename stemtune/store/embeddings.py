"""Embeddings: a frozen backbone's features of every frame, computed once and kept.

`embeddings/<backbone>/<side>/<prefix>/<key>.npz` holds the features of the frames of the entry
`key` of the frame store, seen at that side, as the array `features`: all frames in one view after
the other. `embeddings/<backbone>/backbone.json` says which network computed them.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from pathlib import Path

import numpy as np
import pandas as pd

from stemtune.core import files, litter, views
from stemtune.store import arrays, frame_store

DTYPE, FEATURES = "float32", "features"
IDENTITY_FILE = "backbone.json"
Embed = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Identity:
    """All that a frame's features depend on: another identity, other features."""

    features: int
    weights: str
    threads: int
    input_size: int | None = None
    views: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Wanted:
    """Features that a folder has to hold: of these clips, seen at these sides, px.

    Attributes:
        keys: Of the clips' entries in the frame store.
        views: Of each frame, as `views.view` numbers them.
    """

    folder: Path
    sides: Sequence[int]
    keys: Sequence[str]
    views: Sequence[int] = (0,)


@dataclass(frozen=True)
class Target:
    """Where a backbone's features of frames go, seen at one side in some views."""

    folder: Path
    side: int
    views: tuple[int, ...] = (0,)

    def path_of(self, key: str) -> Path:
        """Returns where a clip's features go."""
        return arrays.path_of(self.folder, key)


# The targets that lack a clip's features, by key.
Work = Mapping[str, Sequence[Target]]


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
    """Returns where the features of frames of that side are."""
    return folder / backbone / str(side)


def sides(folder: Path, backbones: Sequence[str]) -> list[int]:
    """Returns the sides at which all of the backbones saw frames, px, in rising order."""
    seen = [{path.name for path in litter.visible(folder / name)} for name in backbones]
    return sorted(int(name) for name in set.intersection(*seen) - {IDENTITY_FILE})


def plan(
    wanted: Sequence[Wanted], backbone: str, identity: Identity
) -> tuple[dict[str, list[Target]], dict[Target, int]]:
    """Makes room for a backbone, and returns what it lacks.

    Features of removed clips are deleted. Those that are there are judged by name and size.

    Returns:
        The targets that lack a clip's features, by the clip's key, as its frames are read once for
        all of them; and how many clips have theirs, by target.
    """
    lacking: dict[str, list[Target]] = {}
    kept = {}
    for each in wanted:
        shown = tuple(each.views)
        prepare(each.folder, backbone, replace(identity, views=shown), each.sides)
        for side in each.sides:
            target = Target(side_folder(each.folder, backbone, side), side, shown)
            arrays.remove_others(target.folder, each.keys)
            there = arrays.keys(target.folder, identity.features * np.dtype(DTYPE).itemsize)
            missing = [key for key in each.keys if key not in there]
            for key in missing:
                lacking.setdefault(key, []).append(target)
            kept[target] = len(each.keys) - len(missing)
    return lacking, kept


def fill(
    frames: Path,
    size: int,
    lacking: Work,
    embed: Callable[[Target], Embed],
    clips: int = 1,
    tell: Callable[[float], None] = lambda count: None,
) -> int:
    """Embeds clips; features that are there by now stay.

    Args:
        frames: The frame store.
        size: Side of the stored frames, px.
        lacking: The targets by key.
        embed: By target, from frames (n, size, size, 3), uint8, to features (n, d), float32.
        clips: How many clips are embedded together. With one, features depend only on the clip;
            with more, its neighbours may change their last bits.
        tell: Receives how many clips were embedded, each time that some are.

    Returns:
        The number of frames embedded, each view counted.
    """
    count, keys = 0, [*lacking]
    for start in range(0, len(keys), clips):
        some = keys[start : start + clips]
        left = {
            key: [each for each in lacking[key] if not each.path_of(key).exists()] for key in some
        }
        stored = {key: frame_store.read(frames, key, size) for key in some if left[key]}
        for target in dict.fromkeys(each for key in some for each in left[key]):
            asked = {key: of for key, of in stored.items() if target in left[key]}
            for key, features in _features(asked, target, embed(target)):
                arrays.write(target.path_of(key), **{FEATURES: features})
                count += len(features)
        tell(len(some))
    return count


def lines(backbone: str, lacking: Work, kept: Mapping[Target, int]) -> list[str]:
    """Returns what was embedded, for the terminal: sides of the same counts in one line."""
    sides: dict[tuple[int, int, int], list[str]] = {}
    missing = Counter(target for targets in lacking.values() for target in targets)
    for target, reused in kept.items():
        more = 0 if 0 in target.views else len(target.views)
        sides.setdefault((more, missing[target], reused), []).append(str(target.side))
    return [
        f"{backbone} at {', '.join(at)} px{f', {more} more views' if more else ''}: "
        f"{embedded} clips embedded, {reused} reused"
        for (more, embedded, reused), at in sides.items()
    ]


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
        for key, rows in rows_of.items():
            by_view = read(home, str(key), width).reshape(shown, -1, width)
            features[:, rows, end - width : end] = by_view[:, indexes[rows]]
    return features.reshape(-1, sum(widths))


def read(home: Path, key: str, width: int) -> np.ndarray:
    """Returns the features of a clip (views x frames, width), float32.

    Args:
        home: From `side_folder`.
        key: Of the clip.
        width: How many features a frame has.

    Raises:
        DamagedError: The file is damaged, or has features of another width.
    """
    path = arrays.path_of(home, key)
    with arrays.opened(path) as held:
        features = held[FEATURES]
    if features.shape[1:] != (width,) or features.dtype != DTYPE:
        raise arrays.damaged(path, f"features of {features.shape[1:]} where {width} are expected")
    return features


def _features(
    clips: Mapping[str, np.ndarray], target: Target, embed: Embed
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the features of each clip, in one view after the other."""
    together, ends = np.concatenate([*clips.values()]), np.cumsum([*map(len, clips.values())])
    features = embed(np.concatenate([views.view(together, one) for one in target.views]))
    by_view = [np.split(of_one, ends[:-1]) for of_one in np.split(features, len(target.views))]
    for key, *of_clip in zip(clips, *by_view, strict=True):
        yield key, np.concatenate(of_clip)


def _read_identity(home: Path) -> Identity:
    identity = Identity(**files.read_json(home / IDENTITY_FILE))
    return replace(identity, views=tuple(identity.views))
