"""The report: one self-contained page that sets what was measured beside what the paper says."""

import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stemtune.core import files
from stemtune.core.paths import PLOTS, REPORT
from stemtune.evaluation import (
    class_figures,
    comparison,
    figures,
    kernel_figures,
    paper,
    pictures,
    report_tables,
    templates,
)
from stemtune.evaluation.architecture import Block
from stemtune.evaluation.comparison import Comparison
from stemtune.evaluation.pictures import Example
from stemtune.evaluation.recommendation import Recommendation

TEMPLATE = Path(__file__).with_name("report.html.j2")
# Of the page, bytes, shared out between figures, frames and, the rest, text.
LARGEST, FIGURES, FRAMES = 3_000_000, 1_500_000, 1_200_000


@dataclass(frozen=True)
class Results:
    """What evaluate found.

    Attributes:
        compared: The content of metrics/evaluate.json.
        recommendation: What to do with these clips.
        as_in_paper: The variants of the stem that the paper's number is for.
        frames: All rows of the frame table.
        split_by: What the frames were dealt to splits by: group, clip or frame.
        trials: The content of tuning/trials.csv.
        advice: What is to be said of the best learning rate, in words; "" for nothing.
        history: Rows of `model`, `epoch` and the metrics of that epoch.
        answers: By model, rows of `actual` and `predicted`, one per test frame.
        classes: Rows of `model`, `class`, `frames` and `accuracy`.
        calibration: Rows of `model`, `confidence`, `accuracy` and `frames`.
        comparisons: Rows of `stem`, `other` and the fields of `metrics.Difference`.
        curve: The baseline on resized frames: rows of `side`, `flops_per_frame`, `test_accuracy`
            and its bounds, by rising side.
        architectures: By variant, its blocks.
        kernels: By variant, by what they are ("start", "learned"), those of each convolution.
        examples: Test frames.
    """

    compared: Comparison
    recommendation: Recommendation
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
    curve: pd.DataFrame
    architectures: Mapping[str, Sequence[Block]]
    kernels: Mapping[str, Mapping[str, Sequence[np.ndarray]]]
    examples: Sequence[Example]


def draw(results: Results) -> dict[str, str]:
    """Returns the figures as SVG, by name."""
    drawn = {
        "cost": figures.cost(comparison.rows(results.compared), results.curve),
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
    files.write_csv(PLOTS / "classes.csv", results.classes)
    files.write_csv(PLOTS / "calibration.csv", results.calibration)
    files.write_csv(PLOTS / "comparisons.csv", results.comparisons)
    files.write_csv(PLOTS / "resize.csv", results.curve)
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
        results: What evaluate found.
        drawn: Its figures, from `draw`.
    """
    template = templates.load(TEMPLATE)
    return template.render(
        paper=paper,
        best_stem=results.recommendation.stem,
        recommendation=results.recommendation.sentence(),
        models=comparison.rows(results.compared, results.as_in_paper),
        data=report_tables.data_of(results.frames),
        split_by=results.split_by,
        table_1=report_tables.table_1(results.trials),
        advice=results.advice,
        curve=results.curve.to_dict("records"),
        stems_on_curve=report_tables.on_curve(results.compared.stem, results.curve),
        architectures=report_tables.distinct(results.architectures),
        sides=report_tables.sides(results.architectures),
        comparisons=report_tables.judged(results.comparisons),
        confusions=list(results.answers),
        confused=report_tables.confused(results.answers, results.classes),
        hardest=class_figures.NAMED_CLASSES,
        kernels=list(results.kernels),
        examples=list(
            zip(results.examples, pictures.embedded(results.examples, FRAMES), strict=True)
        ),
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
