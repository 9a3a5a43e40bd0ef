"""The report: one self-contained page with all that was measured; the paper's numbers are apart."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stemtune.core import files
from stemtune.core.paths import PLOTS, REPORT
from stemtune.evaluation import paper
from stemtune.evaluation.comparison import Comparison, Row
from stemtune.report import figures, pictures, tables, templates

TEMPLATE = Path(__file__).with_name("report.html.j2")
# Stems whose kernels, output and confusions the page shows: the best on validation.
STEMS_SHOWN = 6


@dataclass(frozen=True)
class Results:
    """What the report shows.

    Attributes:
        compared: The content of metrics/evaluate.json.
        rows: Its models, from `comparison.rows`.
        recommendation: What to run, in words.
        warnings: On it, in words.
        candidates: From `recommending.Choice.table`; None: nothing has a price.
        milliseconds: For a frame, by model, of its float32 file; {}: none is exported.
        clips: The manifest.
        frames: All rows of the frame table.
        split_by: What assigned frames to splits: group, clip or frame.
        trials: The content of tuning/trials.csv.
        advice: What to know of the best learning rate, in words; "" for nothing.
        history: Rows of `model`, `epoch` and the metrics of that epoch.
        answers: By model, rows of `actual` and `predicted`, one per test frame.
        classes: Rows of `model`, `class`, `frames` and `accuracy`.
        calibration: Rows of `model`, `confidence`, `accuracy` and `frames`.
        kernels: By variant, by what they are ("start", "learned"), those of each convolution.
        examples: Test frames.
    """

    compared: Comparison
    rows: Sequence[Row]
    recommendation: str
    warnings: Sequence[str]
    candidates: pd.DataFrame | None
    milliseconds: Mapping[str, float]
    clips: pd.DataFrame
    frames: pd.DataFrame
    split_by: str
    trials: pd.DataFrame
    advice: str
    history: pd.DataFrame
    answers: Mapping[str, pd.DataFrame]
    classes: pd.DataFrame
    calibration: pd.DataFrame
    kernels: Mapping[str, Mapping[str, Sequence[np.ndarray]]]
    examples: Sequence[pictures.Example]


def draw(results: Results) -> dict[str, str]:
    """Returns the figures as SVG, by name."""
    kernels = {f"kernels_{variant}": figures.kernels(of) for variant, of in results.kernels.items()}
    found = results.candidates
    return {
        **({} if found is None else {"front": figures.front(found)}),
        "accuracy": figures.history(results.history, "accuracy"),
        "loss": figures.history(results.history, "loss"),
        "search": figures.search(results.trials),
        "calibration": figures.calibration(results.calibration),
        **kernels,
    }


def render(results: Results, drawn: Mapping[str, str]) -> str:
    """Returns the report as HTML.

    Args:
        results: What is shown.
        drawn: Its figures, from `draw`.
    """
    encoded = {name: base64.b64encode(svg.encode()).decode() for name, svg in drawn.items()}
    return templates.load(TEMPLATE).render(
        vars(results), paper=paper, tables=tables, address=pictures.address, figures=encoded
    )


def write(results: Results) -> None:
    """Writes the page into report/; figures, and the tables behind them, into plots/."""
    written = {} if results.candidates is None else {"candidates": results.candidates}
    written |= {"classes": results.classes, "calibration": results.calibration}
    for name, history in results.history.groupby("model"):
        written[f"history/{name}"] = history.drop(columns="model")
    written |= {f"confusion/{name}": answers for name, answers in results.answers.items()}
    for name, table in written.items():
        files.write_csv(PLOTS / f"{name}.csv", table)
    drawn = draw(results)
    for name, svg in drawn.items():
        files.write_text(PLOTS / "figures" / f"{name}.svg", svg)
    files.write_text(REPORT, render(results, drawn))
