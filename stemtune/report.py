"""The report: one self-contained page that sets what was measured beside what the paper says."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from stemtune import comparison, figures, manifest, paper, pictures
from stemtune.architecture import Block
from stemtune.pictures import Example

TEMPLATE = Path(__file__).with_name("report.html.j2")


@dataclass(frozen=True)
class Results:
    """What evaluate found.

    Attributes:
        metrics: The content of metrics/evaluate.json.
        frames: All rows of the frame table.
        split_by: What the frames were dealt to splits by: group, clip or frame.
        trials: The content of tuning/trials.csv.
        history: Rows of `model`, `epoch` and the metrics of that epoch.
        answers: By model, rows of `actual` and `predicted`, one per test frame.
        classes: Rows of `model`, `class`, `frames` and `accuracy`.
        calibration: Rows of `model`, `confidence`, `accuracy` and `frames`.
        comparisons: Rows of `stem`, `other` and what `evaluation.compare` returns.
        curve: The baseline on resized frames: rows of `side`, `flops_per_frame`, `test_accuracy`
            and its bounds, by rising side.
        architectures: By variant, its blocks.
        kernels: By variant, by what they are ("start", "learned"), those of each convolution.
        examples: Test frames.
    """

    metrics: dict[str, Any]
    frames: pd.DataFrame
    split_by: str
    trials: pd.DataFrame
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
        "cost": figures.cost(comparison.rows(results.metrics), results.curve),
        "accuracy": figures.history(results.history, "accuracy"),
        "loss": figures.history(results.history, "loss"),
        "search": figures.search(results.trials),
        "classes": figures.classes(results.classes),
        "calibration": figures.calibration(results.calibration),
    }
    drawn |= {
        f"confusion_{name}": figures.confusion(answers) for name, answers in results.answers.items()
    }
    return drawn | {
        f"kernels_{variant}": figures.kernels(rows) for variant, rows in results.kernels.items()
    }


def render(results: Results, drawn: Mapping[str, str]) -> str:
    """Returns the report as HTML.

    Args:
        results: What evaluate found.
        drawn: Its figures, from `draw`.
    """
    # Class names come from folder names: escaped, as they could be anything.
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "points": _points, "picture": pictures.data_uri}
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        paper=paper,
        models=comparison.rows(results.metrics),
        data=_data(results.frames),
        split_by=results.split_by,
        table_1=_table_1(results.trials),
        curve=results.curve.to_dict("records"),
        stems_on_curve=_on_curve(results),
        architectures=_distinct(results.architectures),
        sides=_sides(results),
        comparisons=[_judged(row) for row in results.comparisons.to_dict("records")],
        confusions=list(results.answers),
        kernels=list(results.kernels),
        examples=results.examples,
        figures={name: _svg_uri(svg) for name, svg in drawn.items()},
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")  # noqa: RUF001


def _svg_uri(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _data(frames: pd.DataFrame) -> dict[str, Any]:
    """Returns how much was measured on, in all and in each split."""
    parts = {split: frames[frames["split"] == split] for split in manifest.SPLITS}
    return {
        "classes": sorted(frames["class"].unique()),
        "counts": {
            name: {key: int(part[key].nunique()) for key in ("clip", "group")}
            | {"frame": len(part)}
            for name, part in {"all": frames, **parts}.items()
        },
    }


def _table_1(trials: pd.DataFrame) -> dict[str, Any]:
    """Returns the trials with, at the end of each row, what the paper found at its rate.

    Whatever columns the search wrote are shown; the paper's rates that it did not try follow.
    """
    columns = list(trials.columns)
    rows, unmatched = [], list(paper.TABLE_1)
    for trial in trials.to_dict("records"):
        same = [row for row in paper.TABLE_1 if np.isclose(row[2], trial["learning_rate"])]
        unmatched = [row for row in unmatched if row not in same]
        cells = [_cell(column, trial[column]) for column in columns]
        rows.append(cells + (_paper_cells(same[0]) if same else ["", "", ""]))
    for row in unmatched:
        cells = [f"{row[2]:g}" if column == "learning_rate" else "" for column in columns]
        rows.append(cells + _paper_cells(row))
    heads = [column.replace("_", " ") for column in columns]
    return {
        "heads": [*heads, "the paper: trial", "the paper: minutes", "the paper: test accuracy"],
        "rows": rows,
    }


def _paper_cells(row: tuple[int, int, float, int, float]) -> list[str]:
    trial, _, _, minutes, accuracy = row
    return [str(trial), str(minutes), _percent(accuracy)]


def _cell(column: str, value: Any) -> str:
    if pd.isna(value):
        return ""
    if "accuracy" in column and isinstance(value, float):
        return _percent(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _on_curve(results: Results) -> list[dict[str, Any]]:
    """Returns, for each stem, what plain resizing reaches at its cost, between measured sides."""
    costs, accuracies = results.curve["flops_per_frame"], results.curve["test_accuracy"]
    return [
        {
            "name": name,
            "accuracy": entry["test_accuracy"],
            "gigaflops": entry["flops_per_frame"] / 1e9,
            "resized": float(np.interp(entry["flops_per_frame"], costs, accuracies)),
        }
        for name, entry in sorted(results.metrics["stem"].items())
    ]


def _sides(results: Results) -> dict[str, int]:
    """Returns the sides of frames before and behind the stem, px."""
    blocks = next(iter(results.architectures.values()))
    pictured = [block.side for block in blocks if block.side]
    return {"before": pictured[0], "behind": pictured[-1]}


def _distinct(architectures: Mapping[str, Sequence[Block]]) -> list[dict[str, Any]]:
    """Returns each architecture once, with the variants that have it."""
    found: list[dict[str, Any]] = []
    for variant, blocks in architectures.items():
        for known in found:
            if known["blocks"] == blocks:
                known["variants"].append(variant)
                break
        else:
            found.append({"blocks": blocks, "variants": [variant]})
    return found


def _judged(row: dict[str, Any]) -> dict[str, Any]:
    """Returns a comparison with its verdict, which the bounds give: do they leave out zero?"""
    verdict = "no difference shown"
    if row["low"] > 0:
        verdict = "better"
    elif row["high"] < 0:
        verdict = "worse"
    return {**row, "verdict": verdict}
