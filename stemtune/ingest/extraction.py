"""Updates the frame store: decodes the clips that have no entry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from stemtune.core import files
from stemtune.core.errors import InputError
from stemtune.core.settings.frames import ExtractFrames
from stemtune.engine.engine import Engine, split
from stemtune.ingest import checksums, near_duplicates, retries
from stemtune.ingest.clips import Clip
from stemtune.media import decoding, parallel, sampling
from stemtune.media.sandbox import Sandbox
from stemtune.store import arrays, frame_store
from stemtune.store.frame_store import Facts, Measurements, Refusal

CHANGED = "changed while it was decoded"
# If more clips than these cannot be read, the disk or the network is away, and waiting is no use.
MOST_UNREAD = 10


@dataclass(frozen=True)
class Failure:
    """Why a clip has no entry after this run; the next one tries again.

    Attributes:
        reason: In words.
        unread: Whether the system failed to read it, which says nothing about the clip.
    """

    reason: str
    unread: bool = False


# What is known of a clip's content after a run.
Outcome = Facts | Failure


class Extracted(NamedTuple):
    """What the frame store holds now: outcomes by key, and the keys of those just decoded."""

    outcomes: dict[str, Outcome]
    decoded: list[str]


@dataclass(frozen=True)
class Chunk:
    """Clips to decode.

    Attributes:
        clips: Of different content.
        store: The frame store.
        workers: Number of processes.
        params: Number and size of frames, and limits of each clip.
        libraries: With which versions of libraries the stage computes keys.
    """

    clips: Sequence[Clip]
    store: Path
    workers: int
    params: ExtractFrames
    libraries: str


def key_of(clip: Clip, params: ExtractFrames) -> str:
    """Returns the key of a clip's entry: by content, and by all that decides about its pixels."""
    return files.key(clip.sha256, params.frames_per_clip, params.size, decoding.libraries())


def extract(sandbox: Sandbox, store: Path, clip: Clip, params: ExtractFrames) -> Outcome:
    """Decodes a clip into its entry; returns what the entry says, or why there is none.

    A clip that cannot be decoded at all is refused for good. A limit, a library that fails in a way
    of its own, and a disk that does not answer are not the content's fault: there is no entry.
    """
    sample: sampling.Sample | Refusal
    try:
        sample = retries.reading(
            lambda: sandbox.sample(clip.path, params.frames_per_clip, params.size),
            sampling.ReadError,
        )
    except sampling.ReadError as error:
        return Failure(str(error), unread=True)
    except (sampling.LimitError, sampling.UnexpectedError) as error:
        return Failure(str(error))
    except sampling.DecodeError as error:
        sample = Refusal(str(error))
    # What was decoded, or refused, may be another content than the key names.
    try:
        changed = tuple(checksums.state(clip.path)) != clip.state
    except OSError as error:
        return Failure(str(error), unread=True)
    if changed:
        return Failure(CHANGED, unread=True)
    key = key_of(clip, params)
    if isinstance(sample, Refusal):
        frame_store.write(store, key, sample, [])
        return sample
    measured = Measurements(
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
    frame_store.write(store, key, measured, sample.frames)
    return measured


def decode(chunk: Chunk) -> dict[str, Outcome]:
    """Decodes a chunk, except clips that have an entry since it was begun before.

    Returns:
        Outcomes by key. They are handed back, as another machine may not see new files at once.

    Raises:
        UnreadError: Many clips cannot be read.
        InputError: This machine has other libraries than the one that started the stage.
    """
    if chunk.libraries != decoding.libraries():
        raise InputError(
            "a machine of the cluster decodes with other versions of libraries: "
            f"{decoding.libraries()} in place of {chunk.libraries}; install requirements.lock there"
        )
    known, clips = plan(chunk.clips, chunk.store, chunk.params)
    outcomes: dict[str, Outcome] = {**known}
    if not clips:
        return outcomes
    unread = 0
    with Sandbox(chunk.params.limits, min(chunk.workers, len(clips))) as sandbox:

        def run(sandbox: Sandbox, clip: Clip) -> Outcome:
            return extract(sandbox, chunk.store, clip, chunk.params)

        decoded = parallel.results(sandbox, run, [*clips.values()], "decoding")
        for (key, clip), outcome in zip(clips.items(), decoded, strict=True):
            outcomes[key] = outcome
            if isinstance(outcome, Failure) and outcome.unread:
                unread += 1
                if unread > MOST_UNREAD:
                    told = f"{unread} clips, {clip.path} among them,"
                    raise retries.unread(told, outcome.reason)
    return outcomes


def plan(
    found: Sequence[Clip], store: Path, params: ExtractFrames
) -> tuple[dict[str, Facts], dict[str, Clip]]:
    """Returns what the frame store knows of clips, and the clips to decode, both by key."""
    clips = {key_of(clip, params): clip for clip in found if not clip.problem}
    known = frame_store.all_facts(store, [*clips])
    return known, {key: clip for key, clip in clips.items() if key not in known}


def extract_all(
    found: Sequence[Clip], store: Path, params: ExtractFrames, engine: Engine
) -> Extracted:
    """Makes the frame store hold the entries of these clips and no others.

    Args:
        found: Clips; two of equal content share an entry. Those with a problem are left out.
        store: The frame store.
        params: Number and size of frames, and limits of a clip.
        engine: Where clips are decoded.

    Raises:
        UnreadError: The system fails to read clips, which is tried several times. The others are
            decoded, except if they are many.
    """
    known, clips = plan(found, store, params)
    outcomes: dict[str, Outcome] = {**known}
    store.mkdir(parents=True, exist_ok=True)
    chunks = [
        Chunk(some, store, engine.workers, params, decoding.libraries())
        for some in split(engine, [*clips.values()])
    ]
    for decoded in engine.map(decode, chunks):
        outcomes |= decoded
    _require_all_read(outcomes, clips)
    keep = {key for key, outcome in outcomes.items() if not isinstance(outcome, Failure)}
    arrays.remove_others(store, keep)
    return Extracted(outcomes, [*clips])


def _require_all_read(outcomes: Mapping[str, Outcome], clips: Mapping[str, Clip]) -> None:
    for key, clip in clips.items():
        outcome = outcomes[key]
        if isinstance(outcome, Failure) and outcome.reason == CHANGED:
            raise retries.UnreadError(
                f"{clip} {CHANGED}: run again once nothing writes to it any more"
            )
        if isinstance(outcome, Failure) and outcome.unread:
            raise retries.unread(str(clip), outcome.reason)
