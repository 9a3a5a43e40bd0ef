"""Figures of the models and of their training, as SVG, drawn from tables."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from stemtune.evaluation import paper
from stemtune.evaluation.comparison import ModelMetrics, Row
from stemtune.report.drawing import (
    CONTROL_COLORS,
    NARROW,
    STEM_COLORS,
    STYLE,
    WIDE,
    colors,
    svg,
)


def cost(rows: Sequence[Row], curve: Sequence[ModelMetrics]) -> str:
    """Draws accuracy against operations: a point per model, a line for plain resizing.

    Args:
        rows: From `comparison.rows`.
        curve: The baseline on frames of several sides, by rising side.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=WIDE, layout="constrained")
        axes.plot(
            [point.flops_per_frame / 1e9 for point in curve],
            [100 * point.test_accuracy for point in curve],
            "o-",
            color=CONTROL_COLORS[1],
            markersize=3.5,
            zorder=1,
            label="baseline on frames resized to …",
        )
        for point in curve:
            axes.annotate(
                f"{point.input_size} px",
                (point.flops_per_frame / 1e9, 100 * point.test_accuracy),
                xytext=(5, -11),
                textcoords="offset points",
                fontsize=8,
                color="#566474",
            )
        chosen = colors([row.name for row in rows])
        widest = max(row.flops_per_frame for row in rows) / 1e9
        for row, shift in zip(rows, _apart(rows), strict=True):
            accuracy = 100 * row.test_accuracy
            bounds = [
                [accuracy - 100 * row.test_accuracy_low],
                [100 * row.test_accuracy_high - accuracy],
            ]
            axes.errorbar(
                row.flops_per_frame / 1e9 + shift * widest * 0.018,
                accuracy,
                np.maximum(bounds, 0),
                fmt="o",
                capsize=3,
                color=chosen[row.name],
                label=row.model,
            )
        axes.set(xlabel="GFLOP per frame", ylabel="test accuracy on frames, %, with 95% bounds")
        axes.set_xlim(left=0)
        axes.legend(loc="lower right")
        return svg(figure)


def _apart(rows: Sequence[Row]) -> list[float]:
    """Returns by how many steps to move each point, so that those of equal cost stay apart."""
    costs = pd.Series([row.flops_per_frame for row in rows])
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
        return svg(figure)


def search(trials: pd.DataFrame) -> str:
    """Draws test accuracy by learning rate, ours and the paper's.

    Args:
        trials: Rows of `learning_rate`, `test_accuracy` and, where several seeds were searched,
            `test_accuracy_spread`.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=NARROW, layout="constrained")
        ours = trials.sort_values("learning_rate")
        theirs = sorted(paper.TABLE_1, key=lambda row: row.learning_rate)
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
            [row.learning_rate for row in theirs],
            100 * np.array([row.test_accuracy for row in theirs]),
            "s--",
            color=CONTROL_COLORS[0],
            markersize=5,
            label="the paper, on other data",
        )
        axes.set(xscale="log", xlabel="learning rate", ylabel="test accuracy, %")
        axes.legend()
        return svg(figure)
