"""Checks of the manifest before anything is trained on it, by Great Expectations."""

import logging
import os
from dataclasses import dataclass
from numbers import Number
from typing import Any, NamedTuple

import pandas as pd

from stemtune.core import printable
from stemtune.core.errors import InputError
from stemtune.core.settings.frames import ExtractFrames
from stemtune.core.text import composed
from stemtune.ingest import advice, words
from stemtune.ingest.manifest import MIN_CONTRAST
from stemtune.store import manifest

# Great Expectations reports usage unless told not to.
os.environ["GX_ANALYTICS_ENABLED"] = "false"
# What these expect holds by the way in which the manifest is made: a failure is a fault of ours.
INVARIANT = "invariant: "
# The column of the view that says what another is about; the others are about a clip.
SUBJECTS = {"fewest_clips_in_a_split": "class_and_split", "splits_of_group": "group"}


class ExpectationsError(InputError):
    """The manifest does not fulfil what training needs; the message lists each failure."""


@dataclass(frozen=True)
class Result:
    """One expectation in words, whether it holds; where not, what was found and what helps."""

    expectation: str
    holds: bool
    found: str
    advice: list[str]


class Validation(NamedTuple):
    """The results, one per expectation in a fixed order, and Great Expectations' own of them."""

    results: list[Result]
    outcome: Any


def check(table: pd.DataFrame, params: ExtractFrames) -> Validation:
    """Checks a manifest.

    Args:
        table: The manifest, a row per clip.
        params: Settings that say which classes there may be, how many clips each needs, and how
            many may be left out.
    """
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    # Its own progress bars would stand between ours.
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("stemtune").add_dataframe_asset("manifest")
    validation = context.validation_definitions.add(
        gx.ValidationDefinition(
            name="manifest",
            data=asset.add_batch_definition_whole_dataframe("all clips"),
            suite=context.suites.add(gx.ExpectationSuite("manifest", _suite(params))),
        )
    )
    outcome = validation.run(
        batch_parameters={"dataframe": _view(table)},
        result_format={
            "result_format": "COMPLETE",
            "unexpected_index_column_names": ["clip", *SUBJECTS.values()],
        },
    )
    return Validation([_result(each, table, params) for each in outcome.results], outcome)


def require(results: list[Result], page: str) -> None:
    """Raises ExpectationsError with every expectation that does not hold, in words.

    Args:
        results: From `check`.
        page: Where the whole validation can be read.
    """
    failures = [
        f"  - {result.expectation}; {result.found}" for result in results if not result.holds
    ]
    if failures:
        advice = [f"  - {each}" for result in results for each in result.advice]
        listed, helps = "\n".join(failures), "\n".join(advice)
        raise ExpectationsError(
            f"the data are not fit for training. These checks failed:\n{listed}\n"
            f"All of it: {page}\n"
            f"What helps, before `dvc repro`:\n{helps}"
        )


def _suite(params: ExtractFrames) -> list[Any]:
    """The expectations, each about a column of `_view`; a clip's empty cells are left out."""
    from great_expectations import expectations as expect

    def between(column: str, what: str, low: float | None, high: float | None = None) -> Any:
        return expect.ExpectColumnValuesToBeBetween(
            column=column, min_value=low, max_value=high, description=what
        )

    suite = [
        expect.ExpectColumnValuesToBeUnique(
            column="clip", description=f"{INVARIANT}every clip is listed once"
        ),
        expect.ExpectColumnMeanToBeBetween(
            column="quarantined",
            max_value=params.max_quarantined,
            description=f"at most {params.max_quarantined:.0%} of the clips are quarantined",
        ),
        between(
            "fewest_clips_in_a_split",
            f"each class has at least {params.min_clips} clip(s) in each split",
            params.min_clips,
        ),
        between("classes_of_content", f"{INVARIANT}no content stands in two classes", None, 1),
        between(
            "frame_side", f"{INVARIANT}frames are of {params.size} px", params.size, params.size
        ),
        between(
            "contrast", f"{INVARIANT}every clip has frames that are not of one colour", MIN_CONTRAST
        ),
        expect.ExpectColumnStdevToBeBetween(
            column="brightness",
            min_value=0,
            strict_min=True,
            description="clips differ in brightness",
        ),
    ]
    if params.classes is not None:
        suite.append(
            expect.ExpectColumnValuesToBeInSet(
                column="class",
                value_set=[composed(name) for name in params.classes],
                description=f"classes are those of extract_frames.classes: {params.classes}",
            )
        )
    if params.split.by == "group":
        suite.append(between("splits_of_group", "no group has frames in two splits", None, 1))
    return suite


def _view(table: pd.DataFrame) -> pd.DataFrame:
    """Returns a row per clip with what the expectations are about; quarantined ones mostly empty.

    Columns: clip, class, group, split, quarantined (0 or 1), frame_side, brightness, contrast,
    fewest_clips_in_a_split (of the class), class_and_split (which that is), classes_of_content,
    splits_of_group.
    """
    view = table[["clip", "class", "group", "split", "sha256"]].copy()
    view["quarantined"] = (table["quarantined"] != "").astype(int)
    used = view["quarantined"] == 0
    for column in ("frame_side", "brightness", "contrast"):
        view[column] = table[column].where(used)
    frames = manifest.frame_table(table)
    counts = manifest.clips_per_split(table)
    view["fewest_clips_in_a_split"] = view["class"].map(counts.min(axis=1))
    view["class_and_split"] = view["class"] + " (" + view["class"].map(counts.idxmin(axis=1)) + ")"
    classes = view[used].groupby("sha256")["class"].nunique()
    view["classes_of_content"] = view["sha256"].where(used).map(classes)
    splits = frames.groupby("group")["split"].nunique()
    view["splits_of_group"] = view["group"].where(used).map(splits)
    return view.drop(columns="sha256")


def _result(outcome: Any, table: pd.DataFrame, params: ExtractFrames) -> Result:
    words = outcome.expectation_config.description
    if outcome.exception_info.get("raised_exception"):
        raise RuntimeError(f"checking that {words} failed: {outcome.exception_info}")
    observed = outcome.result.get("observed_value")
    if observed is not None:
        # Its pages cannot show numpy's numbers.
        outcome.result["observed_value"] = float(observed)
    if outcome.success:
        return Result(words, True, "", [])
    column = outcome.expectation_config.kwargs["column"]
    return Result(words, False, _found(outcome, column), advice.of(column, table, params))


def _found(outcome: Any, column: str) -> str:
    result = outcome.result
    if "observed_value" in result:
        if result["observed_value"] is None:
            return "found too few clips that are used to tell"
        form = ".1%" if column == "quarantined" else ".3g"
        return f"found {result['observed_value']:{form}}"
    by_value: dict[Any, set[str]] = {}
    for row in result["unexpected_index_list"]:
        subject = row[SUBJECTS.get(column, "clip")]
        by_value.setdefault(row[column], set()).add(printable.name(subject))
    shown = [
        f"{value:g} for {words.some(sorted(subjects))}"
        if isinstance(value, Number)
        else words.some(sorted(subjects))
        for value, subjects in by_value.items()
    ]
    return f"found {words.some(sorted(shown), '; ')}"
