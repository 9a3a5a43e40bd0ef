"""How the clips of two revisions differ, by their manifests."""

from dataclasses import dataclass, field

import dvc.api
import pandas as pd
from dvc.exceptions import DvcException

from stemtune.core.paths import MANIFEST
from stemtune.store import manifest


@dataclass(frozen=True)
class Changes:
    """How clips changed between a base and now; names as below data/, sorted.

    Attributes:
        added: Of a content that the base lacks.
        removed: Of a content that is no longer there.
        relabelled: The same content in another class: the name then, the name now.
        renamed: The same content in the same class: the name then, the name now.
        quarantined: Left out now and not then, with the reason.
        decoded: Whose frames the base lacks.
    """

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    relabelled: list[tuple[str, str]] = field(default_factory=list)
    renamed: list[tuple[str, str]] = field(default_factory=list)
    quarantined: list[tuple[str, str]] = field(default_factory=list)
    decoded: list[str] = field(default_factory=list)


def read_at(revision: str, remote: str | None) -> pd.DataFrame | None:
    """Returns a revision's manifest, from the cache or a remote; None if neither has it."""
    try:
        with dvc.api.open(str(MANIFEST), rev=revision, remote=remote, mode="rb") as file:
            return pd.read_parquet(file)
    except (DvcException, FileNotFoundError):
        return None


def compare(base: pd.DataFrame, now: pd.DataFrame) -> Changes:
    """Returns how the clips changed; a clip replaced under its name counts as removed and added."""
    changes = Changes()
    old, new = (dict(zip(table["clip"], table["sha256"], strict=True)) for table in (base, now))
    gone = sorted(clip for clip in old if new.get(clip) != old[clip])
    come = sorted(clip for clip in new if old.get(clip) != new[clip])
    waiting: dict[str, list[str]] = {}
    for clip in gone:
        waiting.setdefault(old[clip], []).append(clip)
    classes = [dict(zip(table["clip"], table["class"], strict=True)) for table in (base, now)]
    moved = set()
    for clip in come:
        if before := waiting.get(new[clip]):
            then = before.pop(0)
            moved.add(then)
            same_class = classes[0][then] == classes[1][clip]
            (changes.renamed if same_class else changes.relabelled).append((then, clip))
        else:
            changes.added.append(clip)
    changes.removed.extend(clip for clip in gone if clip not in moved)
    left_out_before = set(base.loc[base["quarantined"] != "", "clip"])
    changes.quarantined.extend(
        (row.clip, row.quarantined)
        for row in now[now["quarantined"] != ""].itertuples()
        if row.clip not in left_out_before
    )
    shards = set(manifest.used_clips(base)["shard"])
    decoded = manifest.used_clips(now)
    changes.decoded.extend(sorted(decoded.loc[~decoded["shard"].isin(shards), "clip"]))
    return changes
