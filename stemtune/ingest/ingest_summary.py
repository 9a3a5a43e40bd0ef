"""What extract_frames says about the clips that came in: numbers, and a summary in words."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict

from stemtune.core import printable, terminal
from stemtune.ingest import groups, words
from stemtune.ingest.expectations import Result
from stemtune.store import manifest

# Clips named one by one on the terminal; the manifest has all.
NAMED = 20
BY = {
    groups.BY_TABLE: "in groups.csv",
    groups.BY_NAME: "by name",
    groups.BY_FOOTAGE: "by near-duplicate footage",
    groups.BY_CONTENT: "by their own content",
}


class Counts(BaseModel):
    """How much came in, as metrics/extract_frames.json counts it.

    Attributes:
        clips: In quarantine or not.
        frames_per_split: Of the clips that are used, by split.
        groups: Of clips.
        quarantined: Clips that are left out.
    """

    # CI reads files of other revisions, which may hold more.
    model_config = ConfigDict(extra="ignore", frozen=True)

    clips: int
    frames_per_split: dict[str, int]
    groups: int
    quarantined: int

    @property
    def frames(self) -> int:
        """Of all splits. Not in the file: a metric with an output's name crashes `dvc exp show`."""
        return sum(self.frames_per_split.values())


class Intake(Counts):
    """The content of metrics/extract_frames.json: counts and the verdict.

    Attributes:
        classes: Clips by class.
        clips_grouped_by: Clips by what put them into their group, one of `groups.BY_`.
        expectations: Whether each holds, by its words.
    """

    classes: dict[str, int]
    clips_grouped_by: dict[str, int]
    expectations: dict[str, bool]

    def numbers(self) -> dict[str, float]:
        """Returns the counts that are single numbers."""
        return {name: getattr(self, name) for name in ("clips", "frames", "groups", "quarantined")}


def intake(table: pd.DataFrame, results: Sequence[Result]) -> Intake:
    """Returns what came in.

    Args:
        table: The manifest.
        results: What was expected of it.
    """
    frames = manifest.frame_table(table)
    return Intake(
        clips=len(table),
        groups=int(table["group"].nunique()),
        quarantined=int((table["quarantined"] != "").sum()),
        classes=_counts(table["class"]),
        clips_grouped_by=_counts(table["grouped_by"]),
        frames_per_split=_counts(frames["split"]),
        expectations={result.expectation: result.holds for result in results},
    )


def summary(table: pd.DataFrame, before: pd.DataFrame | None, decoded: int, contents: int) -> str:
    """Returns what was found, done and left out, for the terminal.

    Args:
        table: The manifest.
        before: The manifest of the run before, if there was one.
        decoded: How many different contents were decoded now.
        contents: How many there are.
    """
    frames = manifest.frame_table(table)
    left_out = table[table["quarantined"] != ""]
    lines = [
        f"extract_frames: {len(table)} clips of {table['class'].nunique()} classes; "
        f"{decoded} decoded, {contents - decoded} reused",
        f"  frames: {len(frames)}"
        + (f" ({_list(_counts(frames['split']))})" if len(frames) else ""),
        f"  groups: {table['group'].nunique()} ({_list(_groups(frames))}); "
        + _list({BY[by]: count for by, count in _counts(table["grouped_by"]).items()}, "clips "),
        f"  quarantined: {len(left_out)} of {len(table)} clips"
        + (f" ({len(left_out) / len(table):.1%})" if len(left_out) else ""),
    ]
    if len(left_out):
        reasons = [
            f"{printable.name(row.clip)} {printable.message(row.quarantined)}"
            for row in left_out.itertuples()
        ]
        lines += [f"    {line}" for line in words.some(reasons, "\n", NAMED).split("\n")]
    if len(left_out) > NAMED:
        lines[-1] += ", listed in manifest.parquet"
    if moved := _moved(table, before):
        lines.append(
            f"  split: {len(moved)} clip(s) of the run before are in another split now: "
            + words.some(moved, named=NAMED)
        )
    return "\n".join(terminal.wrapped(line) for line in lines)


def _groups(frames: pd.DataFrame) -> dict[str, int]:
    """Returns how many groups each split has."""
    return frames.groupby("split")["group"].nunique().to_dict()


def outlook(known: int, jobs: int, frames: int, rate: float | None) -> str:
    """Returns what a run of the stage would have to decode.

    Args:
        known: How many different contents have an entry.
        jobs: How many have none.
        frames: Of each clip at most.
        rate: Frames a second in the last run; None or 0: it decoded nothing, or there was none.
    """
    told = f"extract_frames: {known + jobs} different clips; {known} are known, {jobs} are new"
    if not jobs:
        return told
    if not rate:
        return f"{told}. How long they take is not known"
    minutes = jobs * frames / rate / 60
    return f"{told}, about {minutes:.3g} minutes at the {rate:.3g} frames/s of the last time"


def _moved(table: pd.DataFrame, before: pd.DataFrame | None) -> list[str]:
    """Returns the clips whose split is another than before."""
    if before is None:
        return []
    used = [manifest.used_clips(each).set_index("clip")["split"] for each in (table, before)]
    both = pd.concat(used, axis=1, join="inner", keys=["now", "before"])
    return list(both.index[both["now"] != both["before"]])


def _counts(values: "pd.Series[Any]") -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def _list(counts: dict[str, int], what: str = "") -> str:
    return ", ".join(f"{count} {what}{name}" for name, count in counts.items())
