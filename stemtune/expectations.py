"""What a manifest has to fulfil before anything is trained on it, checked by Great Expectations."""

import logging
import os
from dataclasses import dataclass
from typing import Any

import pandas as pd

from stemtune import manifest
from stemtune.params import ExtractFrames

# Great Expectations reports usage unless told not to.
os.environ["GX_ANALYTICS_ENABLED"] = "false"


class ExpectationsError(ValueError):
    """The manifest does not fulfil what training needs; the message lists each failure."""


@dataclass(frozen=True)
class Result:
    """One expectation in words, whether it holds, and what was found where it does not."""

    expectation: str
    holds: bool
    found: str


def check(table: pd.DataFrame, params: ExtractFrames) -> list[Result]:
    """Checks a manifest.

    Args:
        table: The manifest, a row per clip.
        params: Settings that say how many clips a class needs and how many may be unreadable.

    Returns:
        A result for each expectation, the same in the same order for the same table.
    """
    import great_expectations as gx
    from great_expectations import expectations as expect
    from great_expectations.data_context.types.base import ProgressBarsConfig

    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    used = manifest.used_clips(table)
    frames = manifest.frame_table(table)
    checks: list[tuple[str, pd.DataFrame, Any]] = [
        (
            "every clip is listed once",
            table,
            expect.ExpectColumnValuesToBeUnique(column="clip"),
        ),
        (
            f"at most {params.max_quarantined:.0%} of the clips are quarantined",
            pd.DataFrame({"share": [(table["quarantined"] != "").mean()]}),
            expect.ExpectColumnMaxToBeBetween(column="share", max_value=params.max_quarantined),
        ),
        (
            f"each class has at least {params.min_clips} clip(s) in each split",
            _clips_per_split(table, frames),
            expect.ExpectColumnValuesToBeBetween(column="clips", min_value=params.min_clips),
        ),
        (
            "no content stands in two classes",
            _count_distinct(used, by="sha256", of="class", names="clip"),
            expect.ExpectColumnValuesToBeBetween(column="distinct", max_value=1),
        ),
        (
            "every clip has frames that are not of one colour",
            used,
            expect.ExpectColumnValuesToBeBetween(column="contrast", min_value=1.0),
        ),
    ]
    if params.split.by == "group":
        checks.append(
            (
                "no group has frames in two splits",
                _count_distinct(frames, by="group", of="split", names="clip"),
                expect.ExpectColumnValuesToBeBetween(column="distinct", max_value=1),
            )
        )
    context = gx.get_context(mode="ephemeral")
    # Its own progress bars would stand between ours.
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("manifest")
    return [
        _validate(source, position, words, rows, expectation)
        for position, (words, rows, expectation) in enumerate(checks)
    ]


def require(results: list[Result]) -> None:
    """Raises ExpectationsError with every expectation that does not hold, in words."""
    failures = [
        f"  - {result.expectation}; {result.found}" for result in results if not result.holds
    ]
    if failures:
        listed = "\n".join(failures)
        raise ExpectationsError(
            f"the data are not fit for training. Expected, but not so:\n{listed}\n"
            "Mend data/ (more clips, other groups), or the limits and the seed of the split in "
            "params.yaml, block extract_frames; then `dvc repro`"
        )


def _validate(
    source: Any, position: int, words: str, rows: pd.DataFrame, expectation: Any
) -> Result:
    # Arrays in cells are no values that an expectation could compare.
    plain = rows.drop(columns=["frame_splits", "frame_seconds"], errors="ignore")
    asset = source.add_dataframe_asset(f"{position} {words}")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": plain})
    outcome = batch.validate(expectation, result_format="COMPLETE")
    if outcome.exception_info.get("raised_exception"):
        raise RuntimeError(f"checking that {words} failed: {outcome.exception_info}")
    return Result(words, bool(outcome.success), "" if outcome.success else _found(outcome, rows))


def _found(outcome: Any, rows: pd.DataFrame) -> str:
    result = outcome.result
    if "observed_value" in result:
        return f"found {result['observed_value']:.3g}"
    bad = rows.loc[result["unexpected_index_list"]]
    shown = [
        ", ".join(f"{column} {value}" for column, value in row.items())
        for row in bad[_legible(bad)].head(5).to_dict("records")
    ]
    more = f" and {len(bad) - len(shown)} more" if len(bad) > len(shown) else ""
    return "found " + "; ".join(shown) + more


def _legible(rows: pd.DataFrame) -> list[str]:
    wanted = ["clip", "class", "split", "clips", "group", "sha256", "distinct", "names", "contrast"]
    return [column for column in wanted if column in rows]


def _clips_per_split(table: pd.DataFrame, frames: pd.DataFrame) -> pd.DataFrame:
    every = pd.MultiIndex.from_product(
        [manifest.classes(table), manifest.SPLITS], names=["class", "split"]
    )
    counts = frames.groupby(["class", "split"])["clip"].nunique()
    return counts.reindex(every, fill_value=0).rename("clips").reset_index()


def _count_distinct(rows: pd.DataFrame, by: str, of: str, names: str) -> pd.DataFrame:
    grouped = rows.groupby(by)
    return pd.DataFrame(
        {
            "distinct": grouped[of].nunique(),
            "names": grouped[names].agg(lambda values: " + ".join(sorted(set(values))[:4])),
        }
    ).reset_index()
