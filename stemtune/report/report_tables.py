"""The tables of the report, from pandas, and how numbers are written."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from stemtune.evaluation import paper
from stemtune.evaluation.comparison import Comparison, ModelMetrics, Row
from stemtune.report import class_figures
from stemtune.store import manifest

# Pairs of classes that are named where a matrix is too large to read.
PAIRS = 15


def html(table: pd.DataFrame) -> Markup:
    """Returns a table of text as HTML, escaped; a column's name is its head."""
    # Or pandas cuts long names off.
    with pd.option_context("display.max_colwidth", None):
        markup = table.to_html(index=False, border=0, escape=True, na_rep="", justify="inherit")
    return Markup(markup)  # noqa: S704


def models(rows: Sequence[Row]) -> pd.DataFrame:
    """Returns the comparison: a row per model, beside the paper's."""
    return pd.DataFrame(
        {
            "model": row.model,
            "accuracy on frames": percent(row.test_accuracy),
            "95% interval": interval(row.test_accuracy_low, row.test_accuracy_high),
            "accuracy on clips": percent(row.clip_accuracy),
            "95% interval, clips": interval(row.clip_accuracy_low, row.clip_accuracy_high),
            "calibration error": f"{row.calibration_error:.3f}",
            "trained parameters": f"{row.trainable_params:,}",
            "all parameters": f"{row.total_params:,}",
            "GFLOP a frame": f"{row.flops_per_frame / 1e9:.3f}",
            "frame size, px": row.input_size,
            "the paper": ""
            if row.paper_test_accuracy is None
            else f"{percent(row.paper_test_accuracy)}, {row.paper_train_minutes} min",
        }
        for row in rows
    )


def curve(points: Sequence[ModelMetrics]) -> pd.DataFrame:
    """Returns the baseline on frames of several sides, a row per side."""
    return pd.DataFrame(
        {
            "frames resized to": f"{point.input_size} px",
            "test accuracy": percent(point.test_accuracy),
            "95% interval": interval(point.test_accuracy_low, point.test_accuracy_high),
            "GFLOP a frame": f"{point.flops_per_frame / 1e9:.3f}",
        }
        for point in points
    )


def judged(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Returns each comparison of a stem with another model, and its verdict.

    Args:
        comparisons: Rows of `stem`, `other` and the fields of `metrics.Difference`.
    """
    return pd.DataFrame(
        {
            "stem": row["stem"],
            "against": row["other"],
            "verdict": verdict(row["low"], row["high"]),
            "difference, points": points(row["difference"]),
            "95% interval": f"{points(row['low'])} to {points(row['high'])}",
            "only the stem right, frames": row["first_alone"],
            "only the other right, frames": row["second_alone"],
            "McNemar's p": f"{row['mcnemar_p']:.2g}",
        }
        for row in comparisons.to_dict("records")
    )


def sentences(comparisons: pd.DataFrame) -> list[str]:
    """Returns each comparison in words; see `judged`."""
    lines = []
    for row in comparisons.to_dict("records"):
        found = f"{points(row['difference'])} points, {points(row['low'])} to {points(row['high'])}"
        said = verdict(row["low"], row["high"])
        how = f"is {said} than" if said in ("better", "worse") else "cannot be told from"
        lines.append(f"{row['stem']} {how} {row['other']} ({found}).")
    return lines


def confused(answers: Mapping[str, pd.DataFrame], table: pd.DataFrame) -> pd.DataFrame:
    """Returns the pairs of classes that models confuse most often; empty if matrices can be read.

    Args:
        answers: By model, rows of `actual` and `predicted`, one per test frame.
        table: Rows of `class` and `frames`.

    Returns:
        Columns: class; taken for; frames, of the class; and how many of them each model confuses.
    """
    frames = table.drop_duplicates("class").set_index("class")["frames"]
    if len(frames) <= class_figures.NAMED_CLASSES:
        return pd.DataFrame()
    wrong = pd.concat(
        [
            rows[rows["actual"] != rows["predicted"]].assign(model=name)
            for name, rows in answers.items()
        ]
    )
    counts = wrong.groupby(["actual", "predicted", "model"]).size().unstack("model", fill_value=0)
    counts = counts.reindex(columns=list(answers), fill_value=0)
    # By name where counts are equal, so the same ones are shown each time.
    order = counts.sum(axis=1).sort_values(ascending=False, kind="stable").index[:PAIRS]
    shown = counts.loc[order].rename_axis(columns=None).reset_index()
    shown.insert(2, "frames", shown["actual"].map(frames))
    return shown.rename(columns={"actual": "class", "predicted": "taken for"})


def counts(frames: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Returns how many frames, clips and groups there are, by split and of "all"."""
    parts = {split: frames[frames["split"] == split] for split in manifest.SPLITS}
    return {
        name: {"frames": len(part), "clips": part["clip"].nunique(), "groups": groups(part)}
        for name, part in {"all": frames, **parts}.items()
    }


def groups(frames: pd.DataFrame) -> int:
    """Returns how many groups frames come from."""
    return int(frames["group"].nunique())


def table_1(trials: pd.DataFrame) -> pd.DataFrame:
    """Returns the trials with, at the end of each row, what the paper found at its rate.

    Whatever columns the search wrote are shown; the paper's rates that it did not try follow.
    """
    rows, unmatched = [], list(paper.TABLE_1)
    for trial in trials.to_dict("records"):
        same = [row for row in unmatched if np.isclose(row.learning_rate, trial["learning_rate"])]
        unmatched = [row for row in unmatched if row not in same]
        cells = {column: _cell(column, trial[column]) for column in trials.columns}
        rows.append(cells | _paper_cells(same[0] if same else None))
    for row in unmatched:
        rate = {"learning_rate": f"{row.learning_rate:g}"}
        rows.append(dict.fromkeys(trials.columns, "") | rate | _paper_cells(row))
    return pd.DataFrame(rows).rename(columns=lambda name: name.replace("_", " "))


def on_curve(compared: Comparison) -> list[dict[str, Any]]:
    """Returns each stem with the accuracy that plain resizing reaches at its cost."""
    costs = [point.flops_per_frame for point in compared.curve]
    accuracies = [point.test_accuracy for point in compared.curve]
    return [
        {
            "name": name,
            "accuracy": stem.test_accuracy,
            "gigaflops": stem.flops_per_frame / 1e9,
            "resized": float(np.interp(stem.flops_per_frame, costs, accuracies)),
        }
        for name, stem in sorted(compared.stem.items())
    ]


def verdict(low: float, high: float) -> str:
    """Returns what an interval of a difference shows: does it leave out zero?"""
    if low > 0:
        return "better"
    return "worse" if high < 0 else "no difference shown"


def percent(share: float) -> str:
    """Returns a share in [0, 1] as per cent."""
    return f"{100 * share:.2f}%"


def points(share: float) -> str:
    """Returns a difference of shares in percentage points, with its sign."""
    return f"{100 * share:+.1f}".replace("-", "−")  # noqa: RUF001


def interval(low: float | None, high: float | None) -> str:
    """Returns a confidence interval of shares in per cent; "" if there is none."""
    return "" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f}"


def _paper_cells(row: paper.PaperTrial | None) -> dict[str, str]:
    cells = ("", "", "")
    if row:
        cells = (str(row.trial), str(row.minutes), percent(row.test_accuracy))
    names = ("trial", "minutes", "test accuracy")
    return {f"the paper: {name}": cell for name, cell in zip(names, cells, strict=True)}


def _cell(column: str, value: Any) -> str:
    if pd.isna(value):
        return ""
    if "accuracy" in column and isinstance(value, float):
        return percent(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
