"""What is known of a clip's content once it was decoded: measurements, or why there are none."""

from dataclasses import dataclass

import pandas as pd
from pydantic import BaseModel, ConfigDict


@dataclass(frozen=True)
class Failure:
    """Why a clip gives no frames.

    Attributes:
        reason: In words.
        again: Whether another run may succeed: the cause is in time or memory, not in the clip.
    """

    reason: str
    again: bool


class Measurements(BaseModel):
    """What decoding a clip gives: columns of the manifest, whose module explains them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    frame_seconds: list[float]
    frame_side: int
    available: int
    width: int
    height: int
    duration: float
    brightness: float
    contrast: float
    hashes: list[str]


# Of a clip that cannot be decoded.
NOTHING = Measurements(
    frame_seconds=[],
    frame_side=0,
    available=0,
    width=0,
    height=0,
    duration=0.0,
    brightness=0.0,
    contrast=0.0,
    hashes=[],
)
# What is known of a content: measurements, or why there are none.
Outcome = Measurements | Failure


def of_manifest(table: pd.DataFrame | None) -> dict[str, Outcome]:
    """Returns the outcomes that the manifest of an earlier run lists, by shard name."""
    # What another version measured otherwise is of no use: all is decoded again.
    columns = list(Measurements.model_fields)
    if table is None or not set(columns) <= set(table.columns):
        return {}
    known: dict[str, Outcome] = {}
    for row in table[table["shard"] != ""].to_dict("records"):
        if row["frame_side"]:
            # Parquet gives lists back as arrays.
            lists = {name: row[name].tolist() for name in ("frame_seconds", "hashes")}
            measured = {name: row[name] for name in columns} | lists
            known[row["shard"]] = Measurements.model_validate(measured)
        else:
            known[row["shard"]] = Failure(row["quarantined"], again=False)
    return known
