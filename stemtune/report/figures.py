"""Figures of the models and of their training, as SVG, drawn from tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from stemtune.evaluation import offers
from stemtune.report.drawing import COLORS, LEGEND, NARROW, TALL, colors, svg

# Of the kinds of candidates.
FRONT_COLORS = {kind: palette[0] for kind, palette in COLORS.items()} | {offers.CASCADE: "#009e73"}
PRECISIONS = {"float32": "o", "int8": "s"}
# Candidates with a ring, by column, with its look.
MARKED: dict[str, dict[str, Any]] = {
    "is_chosen": {"s": 170, "edgecolors": "#009e73", "label": "chosen"},
    "is_reference": {"s": 110, "edgecolors": "#1c2733", "label": "reference"},
    "as_in_paper": {"s": 60, "edgecolors": "#b5489a", "label": "trained as in the paper"},
}
SPLITS = {"validation": ("#3d8bd4", "s"), "test": ("#d55e00", "o")}


def front(candidates: pd.DataFrame) -> str:
    """Draws clip accuracy against price: a point per candidate, the front as a line.

    Args:
        candidates: From `recommending.Choice.table`.
    """
    figure, axes = plt.subplots(figsize=TALL)
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
    figure.legend(**LEGEND)
    return svg(figure)


def history(table: pd.DataFrame, metric: str) -> str:
    """Draws a metric ("accuracy" or "loss") by epoch, of validation and, dashed, of training."""
    figure, axes = plt.subplots(figsize=NARROW)
    chosen = colors(table["model"].unique())
    scale, unit = (100, ", %") if metric == "accuracy" else (1, " (cross-entropy)")
    for name, color in chosen.items():
        epochs = table[table["model"] == name]
        measured, trained = (
            scale * epochs[f"{split}_{metric}"] for split in ("validation", "train")
        )
        axes.plot(epochs["epoch"], measured, "o-", color=color, markersize=3.5, label=name)
        axes.plot(epochs["epoch"], trained, "--", color=color)
    axes.set(xlabel="epoch", ylabel=f"{metric}{unit}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(**LEGEND, title="solid: validation, dashed: training")
    return svg(figure)


def search(trials: pd.DataFrame) -> str:
    """Draws accuracy on validation and test frames by learning rate.

    Args:
        trials: Rows of `learning_rate`, `validation_accuracy`, `test_accuracy`, and, if several
            seeds were searched, `validation_accuracy_spread` and `test_accuracy_spread`.
    """
    figure, axes = plt.subplots(figsize=NARROW)
    by_rate = 100 * trials.set_index("learning_rate").sort_index().filter(like="_accuracy")
    for split, (color, mark) in SPLITS.items():
        axes.errorbar(
            by_rate.index,
            by_rate[f"{split}_accuracy"],
            by_rate.get(f"{split}_accuracy_spread"),
            fmt=f"{mark}-",
            linewidth=0.8,
            capsize=3,
            color=color,
            label=split,
        )
    axes.set(xscale="log", xlabel="learning rate", ylabel="accuracy on frames, %")
    figure.legend(**LEGEND)
    return svg(figure)


def calibration(table: pd.DataFrame) -> str:
    """Draws accuracy against confidence; a model that knows what it knows is on the diagonal.

    Args:
        table: Rows of `model`, `confidence`, `accuracy` and `frames`.
    """
    chosen = colors(table["model"].unique())
    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    size = (1.8 * columns, 1.95 * rows)
    figure, grid = plt.subplots(
        rows, columns, figsize=size, sharex=True, sharey=True, squeeze=False
    )
    for axes in grid.flat[len(chosen) :]:
        axes.remove()
    for (name, color), axes in zip(chosen.items(), grid.flat, strict=False):
        bins = table[table["model"] == name]
        areas = 150 * bins["frames"] / bins["frames"].sum() + 6
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
