"""The tables of the report, as pandas has them."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from stemtune.evaluation import paper
from stemtune.evaluation.comparison import Row
from stemtune.report.templates import interval, percent, points
from stemtune.store import manifest

# A matrix of more classes is not shown; pairs that are named instead; rows of classes.
MATRIX, PAIRS, CLASSES = 20, 15, 40


def models(rows: Sequence[Row]) -> pd.DataFrame:
    """Returns the comparison: a row per model, beside the paper's.

    Args:
        rows: From `comparison.rows`.
    """
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


def candidates(found: pd.DataFrame) -> pd.DataFrame:
    """Returns the candidates by rising price, with what one runs to have each.

    Args:
        found: From `recommending.Choice.table`.
    """
    marks = {"is_chosen": "chosen", "is_reference": "reference", "on_front": "front"}
    return pd.DataFrame(
        {
            "candidate": row["candidate"],
            "ms a clip": f"{row['milliseconds']:.2f}",
            "worst case": f"{row['worst_milliseconds']:.2f}",
            "MB": _known(row["megabytes"], 1),
            "peak MiB": _known(row["peak_mib"], 0),
            "clip accuracy": percent(row["clip_accuracy"]),
            "95% interval": interval(row["clip_accuracy_low"], row["clip_accuracy_high"]),
            "less the reference's, points": ""
            if row["is_reference"]
            else points(row["difference"]),
            "95% interval, all together": ""
            if row["is_reference"]
            else f"{points(row['difference_low'])} to {points(row['difference_high'])}",
            "": ", ".join(word for column, word in marks.items() if row[column]),
            "in exports/": row["file"],
        }
        for _, row in found.iterrows()
    )


def confusion(answers: pd.DataFrame) -> pd.DataFrame:
    """Returns how often each class (row) is taken for which (column).

    Args:
        answers: Rows of `actual` and `predicted`, one per test frame.
    """
    names = sorted(set(answers["actual"]) | set(answers["predicted"]))
    counts = pd.crosstab(answers["actual"], answers["predicted"])
    return counts.reindex(index=names, columns=names, fill_value=0)


def confused(answers: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Returns the pairs of classes that models confuse most often, all models together.

    Args:
        answers: By model; see `confusion`.

    Returns:
        Columns: class; taken for; frames, of the class; and how many of them each model confuses.
    """
    stacked = pd.concat(answers, names=["model"]).reset_index("model")
    wrong = stacked[stacked["actual"] != stacked["predicted"]]
    counts = wrong.groupby(["actual", "predicted", "model"]).size().unstack("model", fill_value=0)
    counts = counts.reindex(columns=list(answers), fill_value=0)
    # By name if counts are equal, so the same ones are shown each time.
    order = counts.sum(axis=1).sort_values(ascending=False, kind="stable").index[:PAIRS]
    shown = counts.loc[order].rename_axis(columns=None).reset_index()
    frames = next(iter(answers.values()))["actual"].value_counts()
    shown.insert(2, "frames", shown["actual"].map(frames))
    return shown.rename(columns={"actual": "class", "predicted": "taken for"})


def classes(per_class: pd.DataFrame) -> pd.DataFrame:
    """Returns the accuracy of every model (column) on up to `CLASSES` classes, the hardest.

    Args:
        per_class: Rows of `model`, `class`, `frames` and `accuracy`.
    """
    wide = per_class.pivot(index=["class", "frames"], columns="model", values="accuracy")
    hardest = wide[wide.index.isin(wide.mean(axis=1).nsmallest(CLASSES).index)]
    hardest = hardest[per_class["model"].unique()]
    return hardest.set_axis([f"{name} ({frames})" for name, frames in hardest.index])


def counts(frames: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Returns how many frames, clips and groups there are, by split and of "all"."""
    parts = {split: frames[frames["split"] == split] for split in manifest.SPLITS}
    return {
        name: {"frames": len(part)}
        | {f"{kind}s": part[kind].nunique() for kind in ("clip", "group")}
        for name, part in {"all": frames, **parts}.items()
    }


def table_1(trials: pd.DataFrame) -> pd.DataFrame:
    """Returns the trials with, at the end of each row, what the paper found at its rate.

    Whatever columns the search wrote are shown; the paper's rates that it did not try follow.
    """
    theirs = pd.DataFrame(
        {
            "rate": f"{row.learning_rate:g}",
            "the paper: trial": str(row.trial),
            "the paper: minutes": str(row.minutes),
            "the paper: test accuracy": percent(row.test_accuracy),
        }
        for row in paper.TABLE_1
    )
    ours = pd.DataFrame({name: [_cell(name, x) for x in trials[name]] for name in trials})
    tried = ours.merge(theirs, how="left", left_on="learning_rate", right_on="rate")
    others = theirs[~theirs["rate"].isin(ours["learning_rate"])]
    both = pd.concat([tried, others.assign(learning_rate=others["rate"])], ignore_index=True)
    return both.drop(columns="rate").fillna("").rename(columns=lambda name: name.replace("_", " "))


def _known(value: float | None, digits: int) -> str:
    return "" if pd.isna(value) else f"{value:.{digits}f}"


def _cell(column: str, value: Any) -> str:
    if pd.isna(value):
        return ""
    if "accuracy" in column and isinstance(value, float):
        return percent(value)
    return f"{value:g}" if isinstance(value, float) else str(value)
