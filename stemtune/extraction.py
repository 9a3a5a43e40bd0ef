"""The frame store: brings a folder of shards in step with the clips, decoding what is missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemtune import files, shards, video
from stemtune.clips import Clip
from stemtune.executor import map_clips
from stemtune.params import ExtractFrames

DTYPE = "uint8"
# What is known of a clip from decoding it: measurements for the manifest, or why it failed.
Outcome = dict[str, Any] | str


@dataclass(frozen=True)
class Job:
    """One clip to decode, and where its frames go."""

    clip: Path
    shard: Path
    frames: int
    side: int


def frame_shape(side: int) -> tuple[int, int, int]:
    """Returns the shape of a stored frame, RGB."""
    return (side, side, 3)


def shard_name(clip: Clip, params: ExtractFrames) -> str:
    """Returns the shard's name: by the clip's content and what is done with it, not its file name."""
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
    shape = frame_shape(params.size)
    outcomes: dict[str, Outcome] = {
        name: known[name]
        for name, job in jobs.items()
        if name in known and shards.is_whole(job.shard, shape, DTYPE)
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
