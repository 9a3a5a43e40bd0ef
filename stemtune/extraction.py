"""Brings the frame store in step with the clips, decoding what is missing, and lists it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from stemtune import files, frames, manifest, shards, splits, video
from stemtune.clips import Clip
from stemtune.executor import map_clips
from stemtune.params import ExtractFrames, Split

# What the manifest says about decoding a clip, here about one that failed.
NOTHING: dict[str, Any] = {
    "frame_seconds": [],
    "width": 0,
    "height": 0,
    "duration": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
}
# What is known of a clip from decoding it: measurements for the manifest, or why it failed.
Outcome = dict[str, Any] | str


@dataclass(frozen=True)
class Job:
    """One clip to decode, and where its frames go."""

    clip: Path
    shard: Path
    frames: int
    side: int


def shard_name(clip: Clip, params: ExtractFrames) -> str:
    """Returns the shard's name, by the clip's content and what is done with it."""
    return files.key(clip.sha256, params.frames_per_clip, params.size, video.DECODER_VERSION)


def extract(job: Job) -> dict[str, Any]:
    """Decodes a clip into its shard and returns what the manifest says about it.

    Raises:
        VideoError: The clip cannot be decoded.
    """
    sample = video.sample_frames(job.clip, job.frames, job.side)
    shards.write(job.shard, sample.frames)
    return {
        "frame_seconds": [round(float(second), 6) for second in sample.seconds],
        "width": sample.width,
        "height": sample.height,
        "duration": round(sample.duration, 6),
        "brightness": round(float(sample.frames.mean()), 4),
        "contrast": round(float(sample.frames.std()), 4),
    }


def extract_all(
    found: Sequence[Clip],
    folder: Path,
    known: Mapping[str, dict[str, Any]],
    params: ExtractFrames,
    workers: int,
) -> tuple[dict[str, Outcome], int]:
    """Makes the folder hold the shards of these clips and no others.

    Args:
        found: Clips; two of equal content share a shard.
        folder: The frame store.
        known: Measurements of shards written before, by shard name. One whose file is whole is
            not decoded again.
        params: How many frames of which size, and the time limit of a clip.
        workers: Number of processes.

    Returns:
        The outcome of each shard by name, and the number of clips decoded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    jobs = {}
    for clip in found:
        name = shard_name(clip, params)
        path = shards.path_of(folder, name)
        jobs[name] = Job(clip.path, path, params.frames_per_clip, params.size)
    outcomes: dict[str, Outcome] = {
        name: known[name]
        for name, job in jobs.items()
        if name in known and shards.is_whole(job.shard, frames.shape(params.size), frames.DTYPE)
    }
    missing = [name for name in jobs if name not in outcomes]
    decoded = map_clips(
        extract,
        [jobs[name] for name in missing],
        workers,
        params.seconds_per_clip,
        video.VideoError,
        "decoding",
    )
    outcomes.update(zip(missing, decoded, strict=True))
    shards.remove_others(folder, keep=set(jobs))
    return outcomes, len(missing)


def make_manifest(
    found: Sequence[Clip],
    shard_names: Sequence[str],
    outcomes: Mapping[str, dict[str, Any] | str],
    split: Split,
) -> pd.DataFrame:
    """Makes the manifest.

    Args:
        found: Clips.
        shard_names: The name of each clip's shard.
        outcomes: By shard name, the measurements (the columns of `NOTHING`) or the reason why
            the clip is quarantined.
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
            "split": dealt[0] if len(set(dealt)) == 1 else manifest.MIXED if dealt else "",
            "frame_splits": dealt,
            **measured,
            "quarantined": reason,
        }
        rows.append(row)
    return pd.DataFrame(rows)


def measurements(path: Path) -> dict[str, dict[str, Any]]:
    """Returns an earlier manifest's columns of `NOTHING` by shard name; none if it is missing."""
    if not path.exists():
        return {}
    used = manifest.used_clips(manifest.read(path))
    rows = used[list(NOTHING)].to_dict("records")
    return {shard: dict(row) for shard, row in zip(used["shard"], rows, strict=True)}
