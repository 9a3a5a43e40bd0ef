"""Updates the frame store: decodes the clips that have no entry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, NamedTuple

from stemtune.core import files
from stemtune.core.errors import InputError
from stemtune.core.settings.frames import ExtractFrames
from stemtune.engine.engine import Engine, split
from stemtune.ingest import checksums, near_duplicates, remote, retries
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


class Result(NamedTuple):
    """What became of a clip.

    Attributes:
        sha256: Checksum of its content; empty if that could not be fetched.
        outcome: What is known of it.
        decoded: Whether it was decoded; else it was fetched, and its content had an entry already.
    """

    sha256: str
    outcome: Outcome
    decoded: bool = True


class Extracted(NamedTuple):
    """What the frame store holds now.

    Attributes:
        clips: All, with the checksums of their contents.
        outcomes: By key.
        decoded: The keys of those just decoded.
    """

    clips: list[Clip]
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


def _name(clip: Clip, params: ExtractFrames) -> str:
    """Returns a clip's key, or what DVC knows it by while its checksum is not known."""
    return key_of(clip, params) if clip.sha256 else clip.remote


def extract(sandbox: Sandbox, store: Path, clip: Clip, params: ExtractFrames) -> Result:
    """Decodes a clip into its entry, from a copy without a name if it is in a remote."""
    if not clip.remote:
        return Result(clip.sha256, _decoded(sandbox, store, clip, clip.path, params))
    try:
        with remote.fetched(clip) as (copy, sha256):
            clip = replace(clip, sha256=sha256)
            known = frame_store.facts(store, key_of(clip, params))
            outcome = known or _decoded(sandbox, store, clip, copy, params)
    except remote.FetchError as error:
        return Result("", Failure(str(error), unread=True))
    remote.note(clip)
    return Result(sha256, outcome, decoded=known is None)


def _decoded(
    sandbox: Sandbox, store: Path, clip: Clip, source: Path | IO[bytes], params: ExtractFrames
) -> Outcome:
    """Decodes a clip into its entry; returns what the entry says, or why there is none.

    A clip that cannot be decoded at all is refused for good. A limit, a library that fails in a way
    of its own, and a disk that does not answer are not the content's fault: there is no entry.
    """
    sample: sampling.Sample | Refusal
    try:
        sample = retries.reading(
            lambda: sandbox.sample(source, params.frames_per_clip, params.size),
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
        changed = not clip.remote and tuple(checksums.state(clip.path)) != clip.state
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


def decode(chunk: Chunk) -> dict[str, Result]:
    """Decodes a chunk, except clips that have an entry since it was begun before.

    Returns:
        Results as `plan` names clips. They are handed back, as another machine may not see new
        files at once.

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
    named = {_name(clip, chunk.params): clip for clip in chunk.clips}
    results = {key: Result(named[key].sha256, facts) for key, facts in known.items()}
    if not clips:
        return results
    unread = 0
    with Sandbox(chunk.params.limits, min(chunk.workers, len(clips))) as sandbox:

        def run(sandbox: Sandbox, clip: Clip) -> Result:
            return extract(sandbox, chunk.store, clip, chunk.params)

        decoded = parallel.results(sandbox, run, [*clips.values()], "decoding")
        for (key, clip), result in zip(clips.items(), decoded, strict=True):
            results[key], outcome = result, result.outcome
            if isinstance(outcome, Failure) and outcome.unread:
                unread += 1
                if unread > MOST_UNREAD:
                    told = f"{unread} clips, {clip.path} among them,"
                    raise retries.unread(told, outcome.reason)
    return results


def plan(
    found: Sequence[Clip], store: Path, params: ExtractFrames
) -> tuple[dict[str, Facts], dict[str, Clip]]:
    """Returns what the frame store knows of clips, and the clips to decode, both by key.

    Clips whose checksum is not known yet are among the latter, by what DVC knows them by.
    """
    clips = {_name(clip, params): clip for clip in found if not clip.problem}
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
    results: dict[str, Result] = {}
    store.mkdir(parents=True, exist_ok=True)
    is_remote = any(clip.remote for clip in found)
    if is_remote:
        # In a file of its own: DVC may have put a link into its cache there.
        remote.remember(found)
    chunks = [
        Chunk(some, store, engine.workers, params, decoding.libraries())
        for some in split(engine, [*clips.values()])
    ]
    for some in engine.map(decode, chunks):
        results |= some
    _require_all_read(results, clips)
    extracted = _extracted(found, known, results, params)
    if is_remote:
        remote.remember(extracted.clips)
    keep = {key for key, outcome in extracted.outcomes.items() if not isinstance(outcome, Failure)}
    arrays.remove_others(store, keep)
    return extracted


def _extracted(
    found: Sequence[Clip],
    known: Mapping[str, Outcome],
    results: Mapping[str, Result],
    params: ExtractFrames,
) -> Extracted:
    clips, outcomes, decoded = [], {**known}, []
    for clip in found:
        if result := results.get(_name(clip, params)):
            clip = replace(clip, sha256=result.sha256)
            key = key_of(clip, params)
            if result.decoded and key not in outcomes:
                decoded.append(key)
            outcomes[key] = result.outcome
        clips.append(clip)
    return Extracted(clips, outcomes, decoded)


def _require_all_read(results: Mapping[str, Result], clips: Mapping[str, Clip]) -> None:
    for key, clip in clips.items():
        outcome = results[key].outcome
        if isinstance(outcome, Failure) and outcome.reason == CHANGED:
            raise retries.UnreadError(
                f"{clip} {CHANGED}: run again once nothing writes to it any more"
            )
        if isinstance(outcome, Failure) and outcome.unread:
            raise retries.unread(str(clip), outcome.reason)
