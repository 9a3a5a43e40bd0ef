"""The report: one self-contained page that sets what was measured beside what the paper says."""

import io
from pathlib import Path
from typing import Any

import jinja2
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from stemtune import comparison, paper

TEMPLATE = Path(__file__).with_name("report.html.j2")
# Without them every SVG would hold the time and ids drawn at random.
STABLE: dict[Any, Any] = {"svg.hashsalt": "stemtune", "svg.fonttype": "path"}


def render(
    metrics: dict[str, Any], trials: pd.DataFrame, history: pd.DataFrame, confusion: Path
) -> str:
    """Returns the report as HTML.

    Args:
        metrics: The content of metrics/evaluate.json.
        trials: The content of tuning/trials.csv.
        history: Rows of `model`, `epoch` and the metrics of that epoch.
        confusion: Folder with a `<model>.csv` of columns `actual` and `predicted` each.
    """
    models = comparison.rows(metrics)
    # Class names come from folder names: escaped, as they could be anything.
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    with matplotlib.rc_context(STABLE):
        return template.render(
            title=paper.TITLE,
            models=models,
            trials=trials.to_dict("records"),
            paper_trials=paper.TABLE_1,
            cost=_svg(_cost_figure(models)),
            curves=_svg(_history_figure(history)),
            confusions=[
                (path.stem, _svg(_confusion_figure(pd.read_csv(path))))
                for path in sorted(confusion.glob("*.csv"))
            ],
        )


def _cost_figure(models: list[dict[str, Any]]) -> Figure:
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for row in models:
        accuracy = row["test_accuracy"]
        bounds = [[accuracy - row["test_accuracy_low"]], [row["test_accuracy_high"] - accuracy]]
        gigaflops = row["flops_per_frame"] / 1e9
        axes.errorbar(
            gigaflops, accuracy, np.maximum(bounds, 0), fmt="o", capsize=4, label=row["model"]
        )
    axes.set(xlabel="GFLOP per frame", ylabel="test accuracy on frames, with 95% bounds")
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper")
    return figure


def _history_figure(history: pd.DataFrame) -> Figure:
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for axis, metric in zip(axes, ("accuracy", "loss"), strict=True):
        for model, epochs in history.groupby("model"):
            (line,) = axis.plot(epochs["epoch"], epochs[f"validation_{metric}"], label=model)
            axis.plot(epochs["epoch"], epochs[f"train_{metric}"], "--", color=line.get_color())
        axis.set(xlabel="epoch", ylabel=metric)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
    axes[0].legend(title="validation; dashed: train")
    return figure


def _confusion_figure(answers: pd.DataFrame) -> Figure:
    classes = sorted(set(answers["actual"]) | set(answers["predicted"]))
    counts = pd.crosstab(answers["actual"], answers["predicted"]).reindex(
        index=classes, columns=classes, fill_value=0
    )
    side = max(3.2, 0.45 * len(classes) + 1.2)
    figure, axes = plt.subplots(figsize=(side, side), layout="constrained")
    axes.imshow(counts, cmap="Blues")
    # `parse_math` off: a class may be named with dollar signs.
    labels = {"parse_math": False}
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right", **labels)
    axes.set_yticks(range(len(classes)), classes, **labels)
    axes.set(xlabel="predicted", ylabel="actual")
    dark = counts.to_numpy().max() / 2
    for (row, column), count in np.ndenumerate(counts.to_numpy()):
        color = "white" if count > dark else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=color)
    return figure


def _svg(figure: Figure) -> Markup:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    text = buffer.getvalue()
    # Matplotlib has escaped the class names in it.
    return Markup(text[text.index("<svg") :])  # noqa: S704
