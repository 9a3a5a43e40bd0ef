"""The report: one self-contained page that sets what was measured beside what the paper says."""

import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stemtune.core import files
from stemtune.core.paths import PLOTS, REPORT
from stemtune.evaluation import comparison, paper
from stemtune.evaluation.comparison import Comparison
from stemtune.report import (
    class_figures,
    figures,
    kernel_figures,
    pictures,
    report_tables,
    templates,
)
from stemtune.report.pictures import Example

TEMPLATE = Path(__file__).with_name("report.html.j2")
# Of the page, bytes, shared out between figures, frames and, the rest, text.
LARGEST, FIGURES, FRAMES = 3_000_000, 1_500_000, 1_200_000


@dataclass(frozen=True)
class Results:
    """What the report shows.

    Attributes:
        compared: The content of metrics/evaluate.json.
        recommendation: What to do with these clips, in words.
        as_in_paper: The variants of the stem that the paper's number is for.
        frames: All rows of the frame table.
        split_by: What assigned frames to splits: group, clip or frame.
        trials: The content of tuning/trials.csv.
        advice: What to know of the best learning rate, in words; "" for nothing.
        history: Rows of `model`, `epoch` and the metrics of that epoch.
        answers: By model, rows of `actual` and `predicted`, one per test frame.
        classes: Rows of `model`, `class`, `frames` and `accuracy`.
        calibration: Rows of `model`, `confidence`, `accuracy` and `frames`.
        comparisons: Rows of `stem`, `other` and the fields of `metrics.Difference`.
        kernels: By variant, by what they are ("start", "learned"), those of each convolution.
        examples: Test frames.
    """

    compared: Comparison
    recommendation: str
    as_in_paper: Collection[str]
    frames: pd.DataFrame
    split_by: str
    trials: pd.DataFrame
    advice: str
    history: pd.DataFrame
    answers: Mapping[str, pd.DataFrame]
    classes: pd.DataFrame
    calibration: pd.DataFrame
    comparisons: pd.DataFrame
    kernels: Mapping[str, Mapping[str, Sequence[np.ndarray]]]
    examples: Sequence[Example]


def draw(results: Results) -> dict[str, str]:
    """Returns the figures as SVG, by name."""
    drawn = {
        "cost": figures.cost(comparison.rows(results.compared), results.compared.curve),
        "accuracy": figures.history(results.history, "accuracy"),
        "loss": figures.history(results.history, "loss"),
        "search": figures.search(results.trials),
        "classes": class_figures.classes(class_figures.hardest(results.classes)),
        "calibration": class_figures.calibration(results.calibration),
    }
    drawn |= {
        f"confusion_{name}": class_figures.confusion(answers)
        for name, answers in results.answers.items()
    }
    return drawn | {
        f"kernels_{variant}": kernel_figures.kernels(rows)
        for variant, rows in results.kernels.items()
    }


def write(results: Results) -> None:
    """Writes tables and figures into plots/, and the page that shows them all."""
    drawn = draw(results)
    points = pd.DataFrame([point.values() for point in results.compared.curve])
    curve = points.assign(side=points.pop("input_size")).set_index("side").reset_index()
    files.write_csv(PLOTS / "classes.csv", results.classes)
    files.write_csv(PLOTS / "calibration.csv", results.calibration)
    files.write_csv(PLOTS / "comparisons.csv", results.comparisons)
    files.write_csv(PLOTS / "resize.csv", curve)
    for name, history in results.history.groupby("model"):
        files.write_csv(PLOTS / "history" / f"{name}.csv", history.drop(columns="model"))
    for name, answers in results.answers.items():
        files.write_csv(PLOTS / "confusion" / f"{name}.csv", answers)
    for name, svg in drawn.items():
        files.write_text(PLOTS / "figures" / f"{name}.svg", svg)
    files.write_text(REPORT, render(results, drawn))


def render(results: Results, drawn: Mapping[str, str]) -> str:
    """Returns the report as HTML, of at most `LARGEST` bytes.

    What does not fit is left out of the page, which says so.

    Args:
        results: What is shown.
        drawn: Its figures, from `draw`.
    """
    compared, template = results.compared, templates.load(TEMPLATE)
    return template.render(
        vars(results),
        paper=paper,
        rows=comparison.rows(compared, results.as_in_paper),
        tables=report_tables,
        named_classes=class_figures.NAMED_CLASSES,
        addresses=pictures.embedded(results.examples, FRAMES),
        figures=_fitting({name: _svg_uri(svg) for name, svg in drawn.items()}),
    )


def _fitting(addresses: Mapping[str, str]) -> dict[str, str]:
    """Returns the figures that there is room for, the first ones first."""
    found, taken = {}, 0
    for name, address in addresses.items():
        if taken + len(address) <= FIGURES:
            found[name] = address
            taken += len(address)
    return found


def _svg_uri(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
