"""Figures of the models and of their training, as SVG, drawn from tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from stemtune.evaluation import comparison, offers, paper
from stemtune.report.drawing import COLORS, NARROW, WIDE, colors, svg

# Of the kinds of candidates.
FRONT_COLORS = {kind: palette[0] for kind, palette in COLORS.items()} | {offers.CASCADE: "#009e73"}
PRECISIONS = {"float32": "o", "int8": "s"}
# Candidates with a ring, by column, with its look.
MARKED: dict[str, dict[str, Any]] = {
    "is_chosen": {"s": 170, "edgecolors": "#009e73", "label": "named below"},
    "is_reference": {"s": 110, "edgecolors": "#1c2733", "label": "reference"},
    "as_in_paper": {"s": 60, "edgecolors": "#b5489a", "label": "as in the paper"},
}
OURS, THEIRS = COLORS[comparison.STEM][0], COLORS[comparison.BASELINE][0]


def front(candidates: pd.DataFrame) -> str:
    """Draws clip accuracy against price: a point per candidate, the front as a line.

    Args:
        candidates: From `recommending.Choice.table`.
    """
    figure, axes = plt.subplots(figsize=WIDE)
    best = candidates[candidates["on_front"]]
    line: dict[str, Any] = {
        "where": "post",
        "color": "#8693a2",
        "zorder": 1,
        "label": "Pareto front",
    }
    axes.step(best["milliseconds"], 100 * best["clip_accuracy"], **line)
    for (kind, precision), rows in candidates.groupby(["kind", "precision"]):
        accuracies = 100 * rows[["clip_accuracy_low", "clip_accuracy", "clip_accuracy_high"]]
        low, at, high = accuracies.to_numpy().T
        color = FRONT_COLORS[kind]
        look: dict[str, Any] = {
            "fmt": PRECISIONS[precision],
            "color": color,
            "markersize": 5,
            "zorder": 3,
        }
        bars = axes.errorbar(
            rows["milliseconds"], at, [at - low, high - at], label=f"{kind}, {precision}", **look
        )
        for bar in bars[2]:
            bar.set(alpha=0.25, zorder=2)
    for column, ring in MARKED.items():
        rows = candidates[candidates[column]]
        places = rows["milliseconds"], 100 * rows["clip_accuracy"]
        if len(rows):
            axes.scatter(*places, facecolors="none", zorder=4, linewidths=1.6, **ring)
    axes.set(xscale="log", xlabel="milliseconds a clip", ylabel="accuracy on test clips, %")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    figure.legend(loc="outside right upper", fontsize=8)
    return svg(figure)


def history(table: pd.DataFrame, metric: str) -> str:
    """Draws a metric ("accuracy" or "loss") by epoch, of validation and, dashed, of training."""
    figure, axes = plt.subplots(figsize=NARROW)
    chosen = colors(table["model"].unique())
    for name, color in chosen.items():
        epochs = table[table["model"] == name]
        measured, trained = epochs[f"validation_{metric}"], epochs[f"train_{metric}"]
        axes.plot(epochs["epoch"], measured, "o-", color=color, markersize=3.5, label=name)
        axes.plot(epochs["epoch"], trained, "--", color=color)
    axes.set(xlabel="epoch", ylabel=metric)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside upper center", ncols=3, title="validation; dashed: training")
    return svg(figure)


def search(trials: pd.DataFrame) -> str:
    """Draws test accuracy by learning rate, ours and the paper's.

    Args:
        trials: Rows of `learning_rate`, `test_accuracy` and, if several seeds were searched,
            `test_accuracy_spread`.
    """
    figure, axes = plt.subplots(figsize=NARROW)
    ours = 100 * trials.set_index("learning_rate").sort_index().filter(like="test_accuracy")
    theirs = pd.DataFrame(paper.TABLE_1).sort_values("learning_rate")
    axes.errorbar(
        ours.index,
        ours["test_accuracy"],
        ours.get("test_accuracy_spread"),
        fmt="o",
        capsize=3,
        color=OURS,
        label="measured here",
    )
    reported = 100 * theirs["test_accuracy"]
    label = "the paper, on other data"
    axes.plot(theirs["learning_rate"], reported, "s--", color=THEIRS, markersize=5, label=label)
    axes.set(xscale="log", xlabel="learning rate", ylabel="test accuracy, %")
    axes.legend()
    return svg(figure)


def calibration(table: pd.DataFrame) -> str:
    """Draws accuracy against confidence; a model that knows what it knows is on the diagonal.

    Args:
        table: Rows of `model`, `confidence`, `accuracy` and `frames`.
    """
    chosen = colors(table["model"].unique())
    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    size = (2.55 * columns, 2.7 * rows)
    figure, grid = plt.subplots(
        rows, columns, figsize=size, sharex=True, sharey=True, squeeze=False
    )
    for axes in grid.flat[len(chosen) :]:
        axes.remove()
    for (name, color), axes in zip(chosen.items(), grid.flat, strict=False):
        bins = table[table["model"] == name]
        areas = 400 * bins["frames"] / bins["frames"].sum() + 6
        axes.plot([0, 100], [0, 100], color="#c3ccd6", zorder=1)
        dots = {"color": color, "alpha": 0.85, "linewidth": 0, "zorder": 2}
        axes.scatter(100 * bins["confidence"], 100 * bins["accuracy"], areas, **dots)
        axes.set_title(name, fontsize=10)
        axes.set(xlim=(-3, 108), ylim=(-6, 108), aspect=1)
    figure.supxlabel("confidence, %", fontsize=10)
    figure.supylabel("accuracy, %", fontsize=10)
    return svg(figure)


def kernels(rows: Mapping[str, Sequence[np.ndarray]]) -> str:
    """Draws the kernels of a stem's convolutions.

    Args:
        rows: By what they are ("learned"), the kernels (h, w, 3, 3) of each convolution.
    """
    drawn = [(name, kernel) for name, several in rows.items() for kernel in several]
    columns = len(drawn) // len(rows)
    size = (2.4 * columns, 2.6 * len(rows))
    figure, grid = plt.subplots(len(rows), columns, figsize=size, squeeze=False)
    for (name, kernel), axes in zip(drawn, grid.flat, strict=True):
        height, width, inputs, outputs = kernel.shape
        # A square per output channel (row) and input channel (column), a gap behind each.
        gaps = [(0, 0), (0, 0), (0, 1), (0, 1)]
        squares = np.pad(kernel.transpose(3, 2, 0, 1), gaps, constant_values=np.nan)
        canvas = np.block([[*row] for row in squares])[:-1, :-1]
        strongest = float(np.abs(kernel).max()) or 1.0
        axes.imshow(canvas, cmap="RdBu_r", vmin=-strongest, vmax=strongest, interpolation="none")
        axes.set_facecolor("#d8dee6")
        axes.set_xticks(np.arange(inputs) * (width + 1) + (width - 1) / 2, "RGB"[:inputs])
        middles = np.arange(outputs) * (height + 1) + (height - 1) / 2
        axes.set_yticks(middles, [f"to {channel}" for channel in "RGB"[:outputs]])
        axes.tick_params(length=0, labelsize=9, labelbottom=False, labeltop=True)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        title = f"{name}\n{height} x {width}, up to ±{strongest:.2g}"
        axes.set_title(title, fontsize=9, pad=16)
    return svg(figure)
