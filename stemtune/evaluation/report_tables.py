"""The tables of the report, as its template shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stemtune.evaluation import class_figures, paper
from stemtune.evaluation.architecture import Block
from stemtune.evaluation.comparison import Entry
from stemtune.evaluation.metrics import Difference
from stemtune.store import manifest

# Pairs of classes that are named where a matrix is too large to read.
PAIRS = 15


@dataclass(frozen=True)
class Confused:
    """Two classes that models take for each other.

    Attributes:
        actual: The one.
        predicted: The other, which it is taken for.
        frames: Test frames of the actual class.
        counts: How many of them each model takes for the other.
    """

    actual: str
    predicted: str
    frames: int
    counts: list[int]


def confused(answers: Mapping[str, pd.DataFrame], table: pd.DataFrame) -> list[Confused]:
    """Returns the pairs of classes that models take for each other most often.

    None where the matrices can be read.

    Args:
        answers: By model, rows of `actual` and `predicted`, one per test frame.
        table: Rows of `class` and `frames`.
    """
    classes = table.drop_duplicates("class").set_index("class")["frames"]
    if len(classes) <= class_figures.NAMED_CLASSES:
        return []
    wrong = pd.concat(
        [
            rows[rows["actual"] != rows["predicted"]].assign(model=name)
            for name, rows in answers.items()
        ]
    )
    counts = (
        wrong.groupby(["actual", "predicted", "model"])
        .size()
        .unstack("model", fill_value=0)
        .reindex(columns=list(answers), fill_value=0)
    )
    # By name where counts are equal, so that the same ones are shown each time.
    order = counts.sum(axis=1).sort_values(ascending=False, kind="stable").index[:PAIRS]
    return [
        Confused(
            actual,
            predicted,
            int(classes[actual]),
            [int(count) for count in counts.loc[(actual, predicted)]],
        )
        for actual, predicted in order
    ]


@dataclass(frozen=True)
class Counts:
    """How many frames there are, and of how many clips and groups."""

    frame: int
    clip: int
    group: int


@dataclass(frozen=True)
class Data:
    """What was measured on.

    Attributes:
        classes: Their names.
        counts: By split, and of "all".
    """

    classes: list[str]
    counts: Mapping[str, Counts]


def data_of(frames: pd.DataFrame) -> Data:
    """Returns how much was measured on, in all and in each split."""
    parts = {split: frames[frames["split"] == split] for split in manifest.SPLITS}
    counts = {
        name: Counts(len(part), int(part["clip"].nunique()), int(part["group"].nunique()))
        for name, part in {"all": frames, **parts}.items()
    }
    return Data(sorted(frames["class"].unique()), counts)


@dataclass(frozen=True)
class Table:
    """A table of text: the heads of its columns, and its rows."""

    heads: list[str]
    rows: list[list[str]]


def table_1(trials: pd.DataFrame) -> Table:
    """Returns the trials with, at the end of each row, what the paper found at its rate.

    Whatever columns the search wrote are shown; the paper's rates that it did not try follow.
    """
    columns = list(trials.columns)
    rows, unmatched = [], list(paper.TABLE_1)
    for trial in trials.to_dict("records"):
        same = [
            row for row in paper.TABLE_1 if np.isclose(row.learning_rate, trial["learning_rate"])
        ]
        unmatched = [row for row in unmatched if row not in same]
        cells = [_cell(column, trial[column]) for column in columns]
        rows.append(cells + (_paper_cells(same[0]) if same else ["", "", ""]))
    for row in unmatched:
        cells = [
            f"{row.learning_rate:g}" if column == "learning_rate" else "" for column in columns
        ]
        rows.append(cells + _paper_cells(row))
    heads = [column.replace("_", " ") for column in columns]
    theirs = ["the paper: trial", "the paper: minutes", "the paper: test accuracy"]
    return Table([*heads, *theirs], rows)


def _paper_cells(row: paper.PaperTrial) -> list[str]:
    return [str(row.trial), str(row.minutes), percent(row.test_accuracy)]


def _cell(column: str, value: Any) -> str:
    if pd.isna(value):
        return ""
    if "accuracy" in column and isinstance(value, float):
        return percent(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class OnCurve:
    """A stem, and what plain resizing reaches at its cost.

    Attributes:
        name: The variant's.
        accuracy: On test frames, in [0, 1].
        gigaflops: For one frame.
        resized: The accuracy of the baseline on resized frames, between measured sides.
    """

    name: str
    accuracy: float
    gigaflops: float
    resized: float


def on_curve(stems: Mapping[str, Entry], curve: pd.DataFrame) -> list[OnCurve]:
    """Returns each stem, held against plain resizing.

    Args:
        stems: By variant.
        curve: Rows of `flops_per_frame` and `test_accuracy`, by rising cost.
    """
    costs, accuracies = curve["flops_per_frame"], curve["test_accuracy"]
    return [
        OnCurve(
            name,
            entry.test_accuracy,
            entry.flops_per_frame / 1e9,
            float(np.interp(entry.flops_per_frame, costs, accuracies)),
        )
        for name, entry in sorted(stems.items())
    ]


@dataclass(frozen=True)
class Sides:
    """Sides of frames before and behind the stems, px; those behind in rising order."""

    before: int
    behind: Sequence[int]


def sides(architectures: Mapping[str, Sequence[Block]]) -> Sides:
    """Returns the sides of frames that stems take, which is the same of all, and hand on."""
    pictured = [[block.side for block in blocks if block.side] for blocks in architectures.values()]
    return Sides(pictured[0][0], sorted({sides[-1] for sides in pictured}))


@dataclass(frozen=True)
class Architecture:
    """The blocks of a classifier, and the variants that have them."""

    blocks: Sequence[Block]
    variants: list[str]


def distinct(architectures: Mapping[str, Sequence[Block]]) -> list[Architecture]:
    """Returns each architecture once, with the variants that have it."""
    found: list[Architecture] = []
    for variant, blocks in architectures.items():
        for known in found:
            if known.blocks == blocks:
                known.variants.append(variant)
                break
        else:
            found.append(Architecture(blocks, [variant]))
    return found


@dataclass(frozen=True)
class Judged(Difference):
    """How a stem differs from a control, in numbers and in words."""

    stem: str
    other: str
    verdict: str


def judged(comparisons: pd.DataFrame) -> list[Judged]:
    """Returns each comparison with its verdict, which the bounds give: do they leave out zero?

    Args:
        comparisons: Rows of `stem`, `other` and the fields of `metrics.Difference`.
    """
    return [
        Judged(**row, verdict=_verdict(row["low"], row["high"]))
        for row in comparisons.to_dict("records")
    ]


def _verdict(low: float, high: float) -> str:
    if low > 0:
        return "better"
    return "worse" if high < 0 else "no difference shown"


def percent(share: float) -> str:
    """Returns a share in [0, 1] as per cent."""
    return f"{100 * share:.2f}%"


def points(share: float) -> str:
    """Returns a difference of shares in percentage points, with its sign."""
    return f"{100 * share:+.1f}".replace("-", "−")  # noqa: RUF001
