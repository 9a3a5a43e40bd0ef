"""What extract_frames says about the clips that came in: numbers, and a summary in words."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from stemtune import groups, manifest
from stemtune.expectations import Result

# Clips named one by one on the terminal; the manifest has all.
NAMED = 20
BY = {
    groups.BY_TABLE: "in groups.csv",
    groups.BY_NAME: "by name",
    groups.BY_FOOTAGE: "by near-duplicate footage",
    groups.BY_CONTENT: "alone",
}


def metrics(table: pd.DataFrame, results: Sequence[Result]) -> dict[str, Any]:
    """Returns the content of metrics/extract_frames.json: counts and the verdict."""
    frames = manifest.frame_table(table)
    return {
        "clips": len(table),
        "frames": len(frames),
        "groups": int(table["group"].nunique()),
        "quarantined": int((table["quarantined"] != "").sum()),
        "classes": _counts(table["class"]),
        "clips_grouped_by": _counts(table["grouped_by"]),
        "frames_per_split": _counts(frames["split"]),
        "expectations": {result.expectation: result.holds for result in results},
    }


def numbers(metrics: dict[str, Any]) -> dict[str, float]:
    """Returns the counts that are single numbers."""
    return {name: value for name, value in metrics.items() if isinstance(value, int)}


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
        f"  frames: {len(frames)} ({_list(_counts(frames['split']))})",
        f"  groups: {table['group'].nunique()}; "
        + _list({BY[by]: count for by, count in _counts(table["grouped_by"]).items()}, "clips "),
        f"  quarantined: {len(left_out)} of {len(table)} clips"
        + (f" ({len(left_out) / len(table):.1%})" if len(left_out) else ""),
    ]
    lines += [
        f"    {manifest.shown(row.clip)} {row.quarantined}"
        for row in left_out.head(NAMED).itertuples()
    ]
    if len(left_out) > NAMED:
        lines.append(f"    and {len(left_out) - NAMED} more, listed in manifest.parquet")
    if moved := _moved(table, before):
        lines.append(
            f"  split: {len(moved)} clip(s) of the run before are dealt otherwise now: "
            + ", ".join(manifest.shown(clip) for clip in moved[:NAMED])
        )
    return "\n".join(lines)


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
