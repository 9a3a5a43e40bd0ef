"""Figures of what models take each class for, and of how sure they are, as SVG."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from stemtune.report.drawing import PLAIN, STYLE, WIDE, colors, short, svg

# More classes than these, and numbers in a matrix cannot be read, nor the names of classes.
NUMBERED_CLASSES, NAMED_CLASSES = 20, 40
# Side of a matrix without names, inches.
NAMELESS = 3.6


def confusion(answers: pd.DataFrame) -> str:
    """Draws how often each class (rows) is taken for which (columns).

    Of many classes it shows no numbers, of more no names; `confused` has the pairs that matter.

    Args:
        answers: Rows of `actual` and `predicted`.
    """
    classes = sorted(set(answers["actual"]) | set(answers["predicted"]))
    counts = (
        pd.crosstab(answers["actual"], answers["predicted"])
        .reindex(index=classes, columns=classes, fill_value=0)
        .to_numpy()
    )
    numbered, named = len(classes) <= NUMBERED_CLASSES, len(classes) <= NAMED_CLASSES
    side = min(max(3.1, 0.34 * len(classes) + 1.2), 10) if named else NAMELESS
    small = named and not numbered
    with plt.rc_context({**STYLE, "axes.grid": False, "font.size": 5 if small else 8}):
        figure, axes = plt.subplots(figsize=(side, side), layout="constrained")
        axes.imshow(counts, cmap="Blues", interpolation="none")
        if named:
            labels = [short(name) for name in classes]
            axes.set_xticks(range(len(classes)), labels, rotation=45, ha="right", **PLAIN)
            axes.set_yticks(range(len(classes)), labels, **PLAIN)
        axes.set(xlabel="predicted", ylabel="actual")
        if numbered:
            dark = counts.max() / 2
            for (row, column), count in np.ndenumerate(counts):
                color = "white" if count > dark else "#1c2733"
                axes.text(column, row, str(count), ha="center", va="center", color=color)
        return svg(figure)


def hardest(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows of up to `NAMED_CLASSES` classes, those that models get right least.

    Args:
        table: Rows of `model`, `class`, `frames` and `accuracy`.
    """
    means = table.groupby("class")["accuracy"].mean()
    return table[table["class"].isin(means.nsmallest(NAMED_CLASSES).index)]


def classes(table: pd.DataFrame) -> str:
    """Draws the accuracy of every model on every class.

    Args:
        table: Rows of `model`, `class`, `frames` and `accuracy`.
    """
    names = list(table["model"].unique())
    chosen = colors(names)
    labels = table.drop_duplicates("class")
    with plt.rc_context(STYLE):
        height = 1.5 + 0.42 * len(labels)
        figure, axes = plt.subplots(figsize=(WIDE[0], height), layout="constrained")
        rows = np.arange(len(labels))
        for number, name in enumerate(names):
            accuracy = table[table["model"] == name].set_index("class")["accuracy"]
            shift = (number - (len(names) - 1) / 2) * 0.11
            axes.plot(
                100 * accuracy.reindex(labels["class"]),
                rows + shift,
                "o",
                color=chosen[name],
                markersize=5,
                label=name,
            )
        counted = zip(labels["class"], labels["frames"], strict=True)
        axes.set_yticks(rows, [f"{short(name)} ({count})" for name, count in counted], **PLAIN)
        axes.set(
            xlabel="accuracy on the class's test frames, %",
            xlim=(-3, 103),
            ylim=(len(labels) - 0.5, -0.5),
        )
        figure.legend(loc="outside upper center", ncols=3)
        return svg(figure)


def calibration(table: pd.DataFrame) -> str:
    """Draws accuracy against confidence; a model that knows what it knows lies on the diagonal.

    Args:
        table: Rows of `model`, `confidence`, `accuracy` and `frames`.
    """
    names = list(table["model"].unique())
    chosen = colors(names)
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(
            rows,
            columns,
            figsize=(2.55 * columns, 2.7 * rows),
            layout="constrained",
            sharex=True,
            sharey=True,
            squeeze=False,
        )
        for axes in grid.flat[len(names) :]:
            axes.remove()
        for name, axes in zip(names, grid.flat, strict=False):
            bins = table[table["model"] == name]
            axes.plot([0, 100], [0, 100], color="#c3ccd6", zorder=1)
            areas = 400 * bins["frames"] / bins["frames"].sum() + 6
            axes.scatter(
                100 * bins["confidence"],
                100 * bins["accuracy"],
                areas,
                color=chosen[name],
                alpha=0.85,
                linewidth=0,
                zorder=2,
            )
            axes.set_title(name, fontsize=10, **PLAIN)
            axes.set(xlim=(-3, 108), ylim=(-6, 108), aspect=1)
        figure.supxlabel("confidence, %", fontsize=10)
        figure.supylabel("accuracy, %", fontsize=10)
        return svg(figure)
