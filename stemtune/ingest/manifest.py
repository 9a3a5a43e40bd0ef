"""Makes the manifest, from listing, frame store and settings alone."""

from collections.abc import Mapping, Sequence

import pandas as pd

from stemtune.core.settings.frames import ExtractFrames
from stemtune.ingest import groups, splits
from stemtune.ingest.clips import Clip
from stemtune.ingest.extraction import Failure, Outcome, key_of
from stemtune.ingest.listing import Listing
from stemtune.store import manifest
from stemtune.store.frame_store import Measurements

# Frames of less contrast, all of a clip's together, show one flat colour.
MIN_CONTRAST = 1.0


def build(listing: Listing, outcomes: Mapping[str, Outcome], params: ExtractFrames) -> pd.DataFrame:
    """Makes the manifest: equal arguments, equal table.

    Args:
        listing: The clips, and what tables and folders say about them.
        outcomes: What the frame store knows, by key, or why it has no entry; of each clip without a
            problem.
        params: How clips are grouped, split and left out.

    Returns:
        A row per clip, in the order of the listing; `store.manifest` explains the columns.

    Raises:
        ClipsError: So many clips look alike that comparing them has no use.
    """
    keys = ["" if clip.problem else key_of(clip, params) for clip in listing.clips]
    known: list[Outcome] = [
        outcomes[key] if key else Failure(clip.problem)
        for clip, key in zip(listing.clips, keys, strict=True)
    ]
    classes = _classes_by_content(listing.clips)
    reasons = [
        _unfit(clip, outcome, classes[clip.sha256], listing.splits, params)
        if isinstance(outcome, Measurements)
        else outcome.reason
        for clip, outcome in zip(listing.clips, known, strict=True)
    ]
    # What is left out puts no others together.
    seen = {
        clip.sha256: groups.Footage(outcome.hashes, outcome.duration)
        for clip, outcome, reason in zip(listing.clips, known, reasons, strict=True)
        if isinstance(outcome, Measurements) and not reason
    }
    grouped = groups.assign(listing.clips, listing.groups, seen, params.near_duplicates)
    rows = []
    for clip, key, outcome, reason in zip(listing.clips, keys, known, reasons, strict=True):
        group = grouped[clip.name]
        measured = outcome if isinstance(outcome, Measurements) else Measurements()
        count = 0 if reason else len(measured.frame_seconds)
        dealt = splits.frame_splits(clip, group.name, count, params.split, listing.splits)
        row = {
            "clip": clip.name,
            "class": clip.label,
            "group": group.name,
            "grouped_by": group.by,
            "sha256": clip.sha256,
            "shard": "" if isinstance(outcome, Failure) else key,
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
