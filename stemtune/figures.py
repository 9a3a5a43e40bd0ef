"""The report's figures as SVG: drawn from tables, and the same bytes for the same numbers."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from stemtune import comparison, paper

STYLE: dict[Any, Any] = {
    # Without them every SVG would hold ids drawn at random.
    "svg.hashsalt": "stemtune",
    "svg.fonttype": "path",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e8ee",
    "axes.edgecolor": "#8693a2",
    "font.size": 10,
    "legend.frameon": False,
}
NARROW, WIDE = (5.2, 3.7), (7.6, 4.6)
CONTROL_COLORS = ("#1c2733", "#8693a2", "#3d8bd4")
STEM_COLORS = ("#d55e00", "#009e73", "#b5489a", "#e69f00", "#6a51a3", "#7a4b1f")
# More classes than these, and numbers in a matrix cannot be read.
NUMBERED_CLASSES = 20
LONGEST_NAME = 20
# A class or model may be named with dollar signs.
PLAIN: dict[str, Any] = {"parse_math": False}


def colors(models: Sequence[str]) -> dict[str, str]:
    """Returns a color for each model, whatever their order."""
    stems = sorted(set(models) - set(comparison.CONTROLS))
    chosen = dict(zip(comparison.CONTROLS, CONTROL_COLORS, strict=True))
    return chosen | {
        name: STEM_COLORS[number % len(STEM_COLORS)] for number, name in enumerate(stems)
    }


def cost(rows: Sequence[Mapping[str, Any]], curve: pd.DataFrame) -> str:
    """Draws accuracy against operations: a point per model, a line for plain resizing.

    Args:
        rows: From `comparison.rows`.
        curve: Rows of `side`, `flops_per_frame` and `test_accuracy`, by rising side.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=WIDE, layout="constrained")
        axes.plot(
            curve["flops_per_frame"] / 1e9,
            100 * curve["test_accuracy"],
            "o-",
            color=CONTROL_COLORS[1],
            markersize=3.5,
            zorder=1,
            label="baseline on frames resized to …",
        )
        for point in curve.itertuples():
            axes.annotate(
                f"{point.side} px",
                (point.flops_per_frame / 1e9, 100 * point.test_accuracy),
                xytext=(5, -11),
                textcoords="offset points",
                fontsize=8,
                color="#566474",
            )
        chosen = colors([row["name"] for row in rows])
        widest = max(row["flops_per_frame"] for row in rows) / 1e9
        for row, shift in zip(rows, _apart(rows), strict=True):
            accuracy = 100 * row["test_accuracy"]
            bounds = [
                [accuracy - 100 * row["test_accuracy_low"]],
                [100 * row["test_accuracy_high"] - accuracy],
            ]
            axes.errorbar(
                row["flops_per_frame"] / 1e9 + shift * widest * 0.018,
                accuracy,
                np.maximum(bounds, 0),
                fmt="o",
                capsize=3,
                color=chosen[row["name"]],
                label=row["model"],
            )
        axes.set(xlabel="GFLOP per frame", ylabel="test accuracy on frames, %, with 95% bounds")
        axes.set_xlim(left=0)
        axes.legend(loc="lower right")
        return _svg(figure)


def _apart(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """Returns by how many steps to move each point, so that those of equal cost stay apart."""
    costs = pd.Series([row["flops_per_frame"] for row in rows])
    places = costs.groupby(costs)
    return list(places.cumcount() - (places.transform("size") - 1) / 2)


def history(table: pd.DataFrame, metric: str) -> str:
    """Draws a metric ("accuracy" or "loss") by epoch, of validation and, dashed, of training."""
    names = list(table["model"].unique())
    chosen = colors(names)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=NARROW, layout="constrained")
        for name in names:
            epochs = table[table["model"] == name]
            for split, line in (("validation", "o-"), ("train", "--")):
                axes.plot(
                    epochs["epoch"],
                    epochs[f"{split}_{metric}"],
                    line,
                    color=chosen[name],
                    markersize=3.5,
                    label=name if split == "validation" else None,
                )
        axes.set(xlabel="epoch", ylabel=metric)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(loc="outside upper center", ncols=3, title="validation; dashed: training")
        return _svg(figure)


def search(trials: pd.DataFrame) -> str:
    """Draws test accuracy by learning rate, ours and the paper's.

    Args:
        trials: Rows of `learning_rate`, `test_accuracy` and, where several seeds were searched,
            `test_accuracy_spread`.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=NARROW, layout="constrained")
        ours = trials.sort_values("learning_rate")
        by_rate = sorted(paper.TABLE_1, key=lambda row: row[2])
        _, _, rates, _, accuracies = zip(*by_rate, strict=True)
        axes.errorbar(
            ours["learning_rate"],
            100 * ours["test_accuracy"],
            100 * ours["test_accuracy_spread"] if "test_accuracy_spread" in ours else None,
            fmt="o",
            capsize=3,
            color=STEM_COLORS[0],
            label="measured here",
        )
        axes.plot(
            rates,
            100 * np.array(accuracies),
            "s--",
            color=CONTROL_COLORS[0],
            markersize=5,
            label="the paper, on other data",
        )
        axes.set(xscale="log", xlabel="learning rate", ylabel="test accuracy, %")
        axes.legend()
        return _svg(figure)


def confusion(answers: pd.DataFrame) -> str:
    """Draws how often each class (rows) is taken for which (columns).

    Args:
        answers: Rows of `actual` and `predicted`.
    """
    classes = sorted(set(answers["actual"]) | set(answers["predicted"]))
    counts = (
        pd.crosstab(answers["actual"], answers["predicted"])
        .reindex(index=classes, columns=classes, fill_value=0)
        .to_numpy()
    )
    numbered = len(classes) <= NUMBERED_CLASSES
    side = min(max(3.1, 0.34 * len(classes) + 1.2), 10)
    with plt.rc_context({**STYLE, "axes.grid": False, "font.size": 8 if numbered else 5}):
        figure, axes = plt.subplots(figsize=(side, side), layout="constrained")
        axes.imshow(counts, cmap="Blues", interpolation="nearest")
        labels = [_short(name) for name in classes]
        axes.set_xticks(range(len(classes)), labels, rotation=45, ha="right", **PLAIN)
        axes.set_yticks(range(len(classes)), labels, **PLAIN)
        axes.set(xlabel="predicted", ylabel="actual")
        if numbered:
            dark = counts.max() / 2
            for (row, column), count in np.ndenumerate(counts):
                color = "white" if count > dark else "#1c2733"
                axes.text(column, row, str(count), ha="center", va="center", color=color)
        return _svg(figure)


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
        axes.set_yticks(rows, [f"{_short(name)} ({count})" for name, count in counted], **PLAIN)
        axes.set(
            xlabel="accuracy on the class's test frames, %",
            xlim=(-3, 103),
            ylim=(len(labels) - 0.5, -0.5),
        )
        figure.legend(loc="outside upper center", ncols=3)
        return _svg(figure)


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
        return _svg(figure)


def kernels(rows: Mapping[str, Sequence[np.ndarray]]) -> str:
    """Draws the kernels of a stem's convolutions.

    Args:
        rows: By what they are ("learned"), the kernels (h, w, 3, 3) of each convolution.
    """
    count = len(next(iter(rows.values())))
    with plt.rc_context({**STYLE, "axes.grid": False}):
        figure, grid = plt.subplots(
            len(rows),
            count,
            figsize=(2.6 * count, 2.5 * len(rows)),
            layout="constrained",
            squeeze=False,
        )
        for (row, column), axes in np.ndenumerate(grid):
            name, convolutions = list(rows.items())[row]
            kernel = convolutions[column]
            _kernel(axes, kernel)
            axes.set_title(f"{name}, {kernel.shape[0]} x {kernel.shape[1]}", fontsize=10, pad=16)
        return _svg(figure)


def _kernel(axes: Axes, kernel: np.ndarray) -> None:
    """Draws a kernel as a square per output channel (row) and input channel (column)."""
    height, width, inputs, outputs = kernel.shape
    # A cell between the squares stays empty.
    canvas = np.full((outputs * (height + 1) - 1, inputs * (width + 1) - 1), np.nan)
    for output, channel in np.ndindex(outputs, inputs):
        top, left = output * (height + 1), channel * (width + 1)
        canvas[top : top + height, left : left + width] = kernel[:, :, channel, output]
    strongest = float(np.abs(kernel).max()) or 1.0
    mesh = axes.pcolormesh(
        canvas,
        cmap="RdBu_r",
        vmin=-strongest,
        vmax=strongest,
        # Without an edge, viewers leave hairlines between the cells.
        edgecolor="face",
        linewidth=0.3,
    )
    for output, channel in np.ndindex(outputs, inputs):
        corner = (channel * (width + 1), output * (height + 1))
        axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor="#8693a2"))
    axes.set_xticks([channel * (width + 1) + width / 2 for channel in range(inputs)], "RGB")
    axes.set_yticks(
        [output * (height + 1) + height / 2 for output in range(outputs)],
        [f"to {'RGB'[output]}" for output in range(outputs)],
    )
    axes.tick_params(length=0, labelsize=9, labelbottom=False, labeltop=True)
    axes.spines[:].set_visible(False)
    axes.invert_yaxis()
    axes.set_aspect(1)
    bar = axes.figure.colorbar(mesh, ax=axes, shrink=0.7)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8)


def _short(name: str) -> str:
    """Returns a class's name as it fits beside an axis."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    nameless = {"Date": None, "Creator": None}
    figure.savefig(buffer, format="svg", metadata=nameless, bbox_inches="tight", pad_inches=0.05)
    plt.close(figure)
    return buffer.getvalue()
