"""What helps where an expectation of the manifest does not hold."""

from collections import Counter

import pandas as pd

from stemtune.core import printable
from stemtune.core.settings.frames import ExtractFrames
from stemtune.ingest import clips, groups, splits, words
from stemtune.store import manifest
from stemtune.store.manifest import SPLITS, TEST, TRAIN, VALIDATION

SEEDS = 100
# Of a class's clips, and clips, in one group formed by footage: from there on it is to blame.
WIDE, MANY = 0.5, 3


def of(column: str, table: pd.DataFrame, params: ExtractFrames) -> list[str]:
    """Returns what helps, each in a sentence or more.

    Args:
        column: Of the view that `expectations` checks: which expectation does not hold.
        table: The manifest.
        params: Settings that it was made with.
    """
    used = manifest.used_clips(table)
    if column == "quarantined":
        return _quarantine(table, used, params)
    if used.empty:
        return []
    if column == "fewest_clips_in_a_split":
        return _too_few(table, used, params)
    if column == "splits_of_group":
        return _leak(used, params)
    if column == "class":
        return ["Rename or remove folders of data/, or change extract_frames.classes."]
    if column == "brightness" and len(used) > 1:
        return ["All clips that are left are equally bright: put clips of different content there."]
    return []


def _quarantine(table: pd.DataFrame, used: pd.DataFrame, params: ExtractFrames) -> list[str]:
    reasons = Counter(table.loc[table["quarantined"] != "", "quarantined"])
    listed = [f"{count} clip(s): {why}" for why, count in reasons.most_common()]
    told = f"Repair or replace the clips that are quarantined ({words.some(listed, '; ', 3)})"
    if used.empty:
        told = f"No clip is left to train on. {told}."
    else:
        told += f", take them out of data/, or raise max_quarantined, now {params.max_quarantined}."
    if clips.LEADS_OUT in reasons:
        told += " Copy what links lead to: DVC would not keep it, and it is not followed."
    return [told]


def _too_few(table: pd.DataFrame, used: pd.DataFrame, params: ExtractFrames) -> list[str]:
    counts = manifest.clips_per_split(table)
    counts = counts[counts.min(axis=1) < params.min_clips]
    lost = sorted(set(counts.index) - set(used["class"]))
    short = counts.drop(index=lost)
    found = []
    if lost:
        found.append(
            f"All clips of {words.some(lost)} are quarantined, for the reasons above: repair them, "
            "or take the class out of data/."
        )
    if alike := [told for name in short.index if (told := _alike(name, used, params))]:
        return [*found, alike[0]]
    if missing := _missing(short, params):
        setting = "lists" if params.split.lists else "folders"
        found.append(
            f"extract_frames.split.{setting} gives {words.some(missing)}: have clips of each class "
            "there, or take the class out of data/."
        )
    elif len(short):
        found.append(_deals(used, params))
    return found


def _missing(short: pd.DataFrame, params: ExtractFrames) -> list[str]:
    """Returns what a given split lacks of classes, in words; nothing if none is given."""
    split, least = params.split, params.min_clips
    if not split.lists and not split.folders:
        return []
    given = short.copy()
    if not (split.folders and split.folders.validation):
        given[TRAIN] += given.pop(VALIDATION)
    return [
        f"{counts[name] or 'no'} {name} clip{'s' if counts[name] > 1 else ''} of {label}"
        + (f" where min_clips asks for {least}" if least > 1 else "")
        for label, counts in given.iterrows()
        for name in given.columns
        if counts[name] < least
    ]


def _deals(used: pd.DataFrame, params: ExtractFrames) -> str:
    """Returns what helps if the split is drawn: a seed, if there is one, or more clips."""
    if params.split.by == "frame":
        return "Add clips, or raise extract_frames.frames_per_clip: there are too few frames."
    unit, column = ("group", "group") if params.split.by == "group" else ("clip", "sha256")
    is_given = params.split.lists is not None or params.split.folders is not None
    ats = [(TEST if split == TEST else TRAIN) if is_given else "" for split in used["split"]]
    for seed in range(SEEDS):
        split = params.split.model_copy(update={"seed": seed})
        dealt = [splits.deal(name, split, at) for name, at in zip(used[column], ats, strict=True)]
        counts = used.groupby(["class", pd.Series(dealt, used.index)]).size().unstack(fill_value=0)
        if counts.reindex(columns=SPLITS, fill_value=0).min(axis=None) >= params.min_clips:
            return (
                f"With extract_frames.split.seed: {seed} each class that has clips would have "
                "enough in each split. More clips help, too."
            )
    # A given split says what is test.
    dealt_to = [TRAIN, VALIDATION] if is_given else [*SPLITS]
    units = used[used["split"].isin(dealt_to)].groupby("class")[column].nunique().sort_values()
    fewest, name = int(units.iloc[0]), printable.name(units.index[0])
    why = f"{name} has only {fewest} {unit}(s)"
    if fewest >= len(dealt_to) * params.min_clips:
        shares = {VALIDATION: params.split.validation} | (
            {} if is_given else {TEST: params.split.test}
        )
        smallest = min(shares, key=shares.__getitem__)
        why = (
            f"{smallest} gets too small a share, {shares[smallest]:.1%} of the {fewest} {unit}s "
            f"of {name}; raise extract_frames.split.{smallest}"
        )
    return (
        f"No seed below {SEEDS} gives each of {len(dealt_to)} splits ({', '.join(dealt_to)}) "
        f"{params.min_clips} clip(s) of each class or more: {why}. Add clips"
        + (" of other footage" if unit == "group" else "")
        + (", or lower extract_frames.min_clips." if params.min_clips > 1 else ".")
    )


def _alike(label: str, used: pd.DataFrame, params: ExtractFrames) -> str:
    """Returns what helps where most of a class is one group, since its footage looks alike."""
    if params.split.by != "group" or params.near_duplicates is None:
        return ""
    own = used[used["class"] == label]
    sizes = own["group"].value_counts()
    largest = used[used["group"] == sizes.index[0]]
    by_footage = (largest["grouped_by"] == groups.BY_FOOTAGE).any()
    if not by_footage or len(largest) < MANY or sizes.iloc[0] < WIDE * len(own):
        return ""
    return (
        f"{len(largest)} of {len(used)} clips are one group, for their footage looks alike, as "
        "that of a fixed camera does; a group is in one split, whatever the seed. Set "
        f"{groups.telling_more_apart(params.near_duplicates)}, and {groups.SAY_BY_HAND}."
    )


def _leak(used: pd.DataFrame, params: ExtractFrames) -> list[str]:
    """Returns what helps if a given split has one source in two splits."""
    sides = used.groupby("group")["split"].nunique()
    torn = used[used["group"].map(sides) > 1]
    examples = [
        " and ".join(
            f"{printable.name(row.clip)} ({row.split})"
            for row in rows.drop_duplicates("split").itertuples()
        )
        for _, rows in torn.groupby("group")
    ]
    setting = "lists" if params.split.lists else "folders"
    found = [
        f"extract_frames.split.{setting} has clips of one group on two sides: "
        f"{words.some(examples, '; ', 3)}. No seed changes that. Move clips so that each source "
        "is on one side; or keep the split as it is, leak included, with "
        "extract_frames.split.by: clip."
    ]
    by = set(torn["grouped_by"])
    if groups.BY_FOOTAGE in by and params.near_duplicates is not None:
        apart = groups.telling_more_apart(params.near_duplicates)
        found.append(f"If such clips only look alike, set {apart}.")
    if groups.BY_TABLE in by:
        found.append("If they are of different footage, give them different groups in groups.csv.")
    return found
