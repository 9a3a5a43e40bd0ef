"""Brings the frame store in step with the clips, decoding what is missing, and lists it."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from stemtune.core import files
from stemtune.core.settings.frames import ExtractFrames, Limits
from stemtune.engine.engine import Engine, split
from stemtune.ingest import groups, journal, near_duplicates, splits
from stemtune.ingest.clips import Clip
from stemtune.ingest.measurements import NOTHING, Failure, Measurements, Outcome
from stemtune.media import decoding, parallel, sampling
from stemtune.media.sandbox import Sandbox
from stemtune.store import frame_store, manifest, shards

# How many a chunk has that is decoded elsewhere.
CLIPS = 32
# Frames of less contrast, all of a clip's together, show one flat colour.
MIN_CONTRAST = 1.0


class Extracted(NamedTuple):
    """What the frame store holds now: outcomes by shard name, and the names of those just made."""

    outcomes: dict[str, Outcome]
    decoded: list[str]


@dataclass(frozen=True)
class Job:
    """One clip to decode, and where its frames go."""

    clip: Path
    shard: Path
    frames: int
    side: int

    def __str__(self) -> str:
        return f"the clip {self.clip}"


def shard_name(clip: Clip, params: ExtractFrames) -> str:
    """Returns the shard's name, by the clip's content and what is done with it."""
    return files.key(clip.sha256, params.frames_per_clip, params.size, decoding.DECODER_VERSION)


def extract(sandbox: Sandbox, job: Job) -> Outcome:
    """Decodes a clip into its shard; returns what the manifest says about it, or why there is none.

    What a limit kept from being decoded, or a library in a way of its own, is tried again in the
    next run; what is no clip is not.
    """
    try:
        sample = sandbox.sample(job.clip, job.frames, job.side)
    except sampling.DecodeError as error:
        again = isinstance(error, sampling.LimitError | sampling.UnexpectedError)
        return Failure(str(error), again)
    shards.write(job.shard, sample.frames)
    return Measurements(
        frame_seconds=[round(float(second), 6) for second in sample.seconds],
        frame_side=sample.frames.shape[1],
        available=sample.available,
        width=sample.width,
        height=sample.height,
        duration=round(sample.duration, 6),
        brightness=round(float(sample.frames.mean()), 4),
        contrast=round(float(sample.frames.std()), 4),
        hashes=near_duplicates.hashes(sample.frames),
    )


@dataclass(frozen=True)
class Chunk:
    """Clips to decode one after another, and where what comes of them is noted.

    Attributes:
        jobs: By shard name.
        notes: Folder of the journal.
        workers: Number of processes.
        limits: Of each clip.
    """

    jobs: Mapping[str, Job]
    notes: Path
    workers: int
    limits: Limits

    @property
    def name(self) -> str:
        """In the journal: equal clips, equal name."""
        return files.key(*self.jobs)


def decode(chunk: Chunk) -> dict[str, Failure]:
    """Decodes a chunk, except clips that were done when it was begun before.

    Returns:
        Why clips have no shard, by shard name. What the others came to is in the journal.
    """
    noted = journal.read(chunk.notes, chunk.name, Measurements)
    jobs = {name: job for name, job in chunk.jobs.items() if not _is_done(job, noted.get(name))}
    if not jobs:
        return {}
    failures = {}
    with (
        Sandbox(chunk.limits, min(chunk.workers, len(jobs))) as sandbox,
        journal.noting(chunk.notes, chunk.name) as note,
    ):
        decoded = parallel.results(sandbox, extract, [*jobs.values()], "decoding")
        for name, outcome in zip(jobs, decoded, strict=True):
            if isinstance(outcome, Failure):
                failures[name] = outcome
            else:
                note(name, outcome)
    return failures


def extract_all(
    found: Sequence[Clip],
    folder: Path,
    known: Mapping[str, Outcome],
    params: ExtractFrames,
    engine: Engine,
    notes: Path,
) -> Extracted:
    """Makes the folder hold the shards of these clips and no others.

    Args:
        found: Clips; two of equal content share a shard. Those with a problem are left out.
        folder: The frame store.
        known: Outcomes of an earlier run by shard name, from `measurements.of_manifest`. One whose
            shard is whole is not decoded again.
        params: How many frames of which size, and what a clip may take.
        engine: Where clips are decoded.
        notes: Folder where outcomes are noted as they come, so that a run which was cut off goes on
            where it stopped. Deleted at the end.
    """
    outcomes, missing = _done_and_missing(found, folder, known, params, notes)
    chunks = [
        Chunk({name: missing[name] for name in names}, notes, engine.workers, params.limits)
        for names in split(engine, [*missing], CLIPS)
    ]
    for failures in engine.map(decode, chunks):
        outcomes |= failures
    decoded = journal.read_all(notes, Measurements)
    outcomes |= {name: decoded[name] for name in missing if name not in outcomes}
    made = {name for name, outcome in outcomes.items() if not isinstance(outcome, Failure)}
    shards.remove_others(folder, keep=made)
    shutil.rmtree(notes, ignore_errors=True)
    return Extracted(outcomes, [*missing])


def extract_some(
    found: Sequence[Clip],
    folder: Path,
    known: Mapping[str, Outcome],
    params: ExtractFrames,
    workers: int,
    notes: Path,
) -> tuple[list[str], dict[str, Failure]]:
    """Makes the folder hold the shards of these clips too, for `extract_all` to find.

    Args:
        found, folder, known, params, notes: As of `extract_all`; what is noted stays.
        workers: Number of processes.

    Returns:
        Names of the shards that were missing, and why some still are.
    """
    _, missing = _done_and_missing(found, folder, known, params, notes)
    return [*missing], decode(Chunk(missing, notes, workers, params.limits))


def _done_and_missing(
    found: Sequence[Clip],
    folder: Path,
    known: Mapping[str, Outcome],
    params: ExtractFrames,
    notes: Path,
) -> tuple[dict[str, Outcome], dict[str, Job]]:
    """Returns, by shard name, the outcomes that stand and the clips to decode; makes the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    known = {**known, **journal.read_all(notes, Measurements)}
    outcomes, missing = {}, {}
    for clip in found:
        if clip.problem:
            continue
        name = shard_name(clip, params)
        path = shards.path_of(folder, name)
        job = Job(clip.path, path, params.frames_per_clip, params.size)
        if _is_done(job, known.get(name)):
            outcomes[name] = known[name]
        else:
            missing[name] = job
    return outcomes, missing


def _is_done(job: Job, outcome: Outcome | None) -> bool:
    """Returns whether a clip needs no decoding: it has an outcome and, if that is one, a shard."""
    if isinstance(outcome, Measurements):
        return shards.is_whole(job.shard, frame_store.shape(job.side), frame_store.DTYPE)
    return outcome is not None


def make_manifest(
    found: Sequence[Clip],
    outcomes: Mapping[str, Outcome],
    group_table: Mapping[str, str],
    given: splits.Given | None,
    params: ExtractFrames,
) -> pd.DataFrame:
    """Makes the manifest.

    Args:
        found: Clips.
        outcomes: By shard name; of each clip without a problem.
        group_table: Group by clip name, from `groups.read_table`.
        given: The split that comes with the clips, from `splits.given`.
        params: How clips are grouped, dealt and left out.

    Returns:
        A row per clip, in the order of `found`.

    Raises:
        ClipsError: The group table does not fit the clips.
    """
    names = ["" if clip.problem else shard_name(clip, params) for clip in found]
    results = [
        Failure(clip.problem, again=True) if clip.problem else outcomes[name]
        for clip, name in zip(found, names, strict=True)
    ]
    seen = {
        clip.sha256: groups.Footage(result.hashes, result.duration)
        for clip, result in zip(found, results, strict=True)
        if not isinstance(result, Failure)
    }
    grouped = groups.assign(found, group_table, seen, params.near_duplicates)
    classes = _classes_by_content(found)
    rows = []
    for clip, name, result in zip(found, names, results, strict=True):
        group = grouped[clip.name]
        if isinstance(result, Failure):
            measured, reason, shard = NOTHING, result.reason, "" if result.again else name
        else:
            measured, shard = result, name
            reason = _unfit(clip, result, classes[clip.sha256], given, params)
        count = 0 if reason else len(measured.frame_seconds)
        dealt = splits.frame_splits(clip, group.name, count, params.split, given)
        row = {
            "clip": clip.name,
            "class": clip.label,
            "group": group.name,
            "grouped_by": group.by,
            "sha256": clip.sha256,
            "shard": shard,
            "split": dealt[0] if len(set(dealt)) == 1 else manifest.MIXED if dealt else "",
            "frame_splits": dealt,
            **measured.model_dump(),
            "quarantined": reason,
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _classes_by_content(found: Sequence[Clip]) -> dict[str, list[str]]:
    classes: dict[str, set[str]] = {}
    for clip in found:
        classes.setdefault(clip.sha256, set()).add(clip.label)
    return {content: sorted(labels) for content, labels in classes.items()}


def _unfit(
    clip: Clip,
    measured: Measurements,
    classes: Sequence[str],
    given: splits.Given | None,
    params: ExtractFrames,
) -> str:
    """Returns why a clip that was decoded is left out all the same; empty if it is not."""
    if len(classes) > 1:
        return f"has the same content as a clip of another class: {', '.join(classes)}"
    if given is not None and clip.name not in given:
        return "is in neither list of extract_frames.split.lists"
    if params.short_clips == "quarantine" and measured.available < len(measured.frame_seconds):
        return (
            f"has {measured.available} of the {params.frames_per_clip} frames that "
            "extract_frames.frames_per_clip asks for"
        )
    if measured.contrast < MIN_CONTRAST:
        return "shows one flat colour"
    return ""
