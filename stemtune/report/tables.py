"""The tables of the report, with cells as a reader sees them."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from stemtune.core import printable
from stemtune.evaluation import paper
from stemtune.evaluation.comparison import Row
from stemtune.report.templates import accuracy, percent, points
from stemtune.store import manifest

# A matrix of more classes is not shown; pairs that are named instead; rows of classes; models
# beside each other, as many as a phone has room for.
MATRIX, PAIRS, CLASSES, MODELS = 10, 15, 40, 7
# In the manifest, of a clip whose group was found by its frames.
BY_FOOTAGE = "footage"
MARKS = {"is_chosen": "chosen", "is_reference": "reference", "on_front": "front"}
ACCURACY = "accuracy (95% CI)"
# Of a column with standard deviations over seeds.
SPREAD = "_spread"
FILE = "file"


def models(rows: Sequence[Row], milliseconds: Mapping[str, float]) -> pd.DataFrame:
    """Returns the comparison: a row per model.

    Args:
        rows: From `comparison.rows`.
        milliseconds: For a frame, by the name of the model; one without a file has none.
    """
    return pd.DataFrame(
        {
            "model": row.model,
            f"clip {ACCURACY}": accuracy(row, "clip_accuracy"),
            f"frame {ACCURACY}": accuracy(row, "test_accuracy"),
            "calibration error": percent(row.calibration_error),
            **(
                {"ms a frame, LiteRT": known(milliseconds.get(row.name), 2)} if milliseconds else {}
            ),
            "GFLOP a frame": f"{row.flops_per_frame / 1e9:.3f}",
            "frame size, px": row.input_size,
            "trained parameters": f"{row.trainable_params:,}",
            "all parameters": f"{row.total_params:,}",
        }
        for row in rows
    )


def candidates(found: pd.DataFrame) -> pd.DataFrame:
    """Returns the candidates by rising price, with what one runs to have each.

    Args:
        found: From `recommending.Choice.table`.
    """
    return pd.DataFrame(
        {
            "candidate": row.candidate,
            "role": ", ".join(word for column, word in MARKS.items() if getattr(row, column)),
            "ms a clip (at worst)": f"{row.milliseconds:.2f}"
            # Of a cascade, whose full model is not always asked.
            + (f" ({row.worst_milliseconds:.2f})" if _differs(row) else ""),
            f"clip {ACCURACY}": accuracy(row, "clip_accuracy"),
            "difference, points (95% CI)": ""
            if row.is_reference
            else f"{points(row.difference)} "
            f"({points(row.difference_low)} to {points(row.difference_high)})",
            "size, MB": known(row.megabytes, 1),
            "peak memory, MiB": known(row.peak_mib, 0),
            FILE: row.file,
        }
        for row in found.itertuples()
    )


def worth_it(found: pd.DataFrame) -> pd.DataFrame:
    """Returns the candidates on the front, with the one chosen and the reference."""
    return found[found[list(MARKS)].any(axis=1)]


def data(frames: pd.DataFrame) -> pd.DataFrame:
    """Returns how many clips, groups and frames each split has, and all together."""
    named = {"training": manifest.TRAIN, "validation": manifest.VALIDATION, "test": manifest.TEST}
    parts = {name: frames[frames["split"] == split] for name, split in named.items()}
    return pd.DataFrame(
        {
            "split": name,
            "clips": f"{part['clip'].nunique():,}",
            "fewest in a class": f"{part.groupby('class')['clip'].nunique().min():,}",
            "groups": f"{part['group'].nunique():,}",
            "frames": f"{len(part):,}",
        }
        for name, part in {**parts, "all": frames}.items()
        if len(part)
    )


def found_by_footage(clips: pd.DataFrame) -> pd.DataFrame:
    """Returns the groups into which clips were put because their frames look alike.

    Args:
        clips: The manifest.

    Returns:
        Columns: group, a number; clips, all of that group, a line each.
    """
    used = manifest.used_clips(clips)
    found = used.loc[used["grouped_by"] == BY_FOOTAGE, "group"].unique()
    shared = used[used["group"].isin(found)].groupby("group")["clip"].agg(list)
    return pd.DataFrame(
        {"group": number, "clips": "\n".join(map(printable.name, names))}
        for number, names in enumerate(shared, start=1)
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
    frames = next(iter(answers.values()))["actual"].value_counts()
    return pd.DataFrame(
        {
            "class": actual,
            "taken for": predicted,
            "frames": frames[actual],
            "confused by": ", ".join(f"{name} {count}" for name, count in row.items() if count),
        }
        for (actual, predicted), row in counts.loc[order].iterrows()
    )


def classes(per_class: pd.DataFrame) -> pd.DataFrame:
    """Returns the accuracy of every model (column) on up to `CLASSES` classes, the hardest.

    Args:
        per_class: Rows of `model`, `class`, `frames` and `accuracy`.
    """
    wide = per_class.pivot(index=["class", "frames"], columns="model", values="accuracy")
    hardest = wide[wide.index.isin(wide.mean(axis=1).nsmallest(CLASSES).index)]
    hardest = hardest[per_class["model"].unique()]
    return hardest.set_axis([f"{name} ({frames})" for name, frames in hardest.index])


def known(value: float | None, digits: int) -> str:
    """Returns a number with this many decimals; "" if there is none."""
    return "" if pd.isna(value) else f"{value:.{digits}f}"


def parts(table: pd.DataFrame) -> list[pd.DataFrame]:
    """Returns a table in parts of up to `MODELS` columns, which fit beside each other."""
    places = range(0, table.shape[1], MODELS)
    return [table.iloc[:, place : place + MODELS] for place in places]


def trials(found: pd.DataFrame) -> pd.DataFrame:
    """Returns the trials of the search, whatever columns it wrote; empty ones are left out."""
    shown = found.dropna(axis=1, how="all")
    return pd.DataFrame(
        {
            name.replace("_", " "): [_cell(name, row) for _, row in shown.iterrows()]
            for name in shown
            if not name.endswith(SPREAD)
        }
    )


def paper_trials() -> pd.DataFrame:
    """Returns the paper's Table 1."""
    return pd.DataFrame(
        {
            "trial": row.trial,
            "epochs": row.epochs,
            "learning rate": f"{row.learning_rate:g}",
            "minutes": row.minutes,
            "test accuracy": percent(row.test_accuracy),
        }
        for row in paper.TABLE_1
    )


def paper_models() -> pd.DataFrame:
    """Returns the two models of the paper."""
    return pd.DataFrame(
        {
            "model": kind,
            "test accuracy": percent(share),
            "minutes of training": paper.TRAINING_MINUTES[kind],
        }
        for kind, share in paper.ACCURACIES.items()
    )


def _differs(row: Any) -> bool:
    return f"{row.worst_milliseconds:.2f}" != f"{row.milliseconds:.2f}"


def _cell(column: str, row: pd.Series) -> str:
    """Returns a cell of a trial; a mean over seeds has its standard deviation behind it."""
    value, spread = row[column], row.get(f"{column}{SPREAD}")
    if pd.isna(value):
        return ""
    if column.endswith("accuracy"):
        return percent(value) + ("" if pd.isna(spread) else f" ± {100 * spread:.1f}")
    return f"{value:g}" if isinstance(value, float) else str(value)
