"""Writes the numbers of the last run into the tables of the pages, and copies its picture.

A row belongs to the model or file that its first cell names, a cell to the measure of its column.
Other rows and columns stay as they are. A test holds the pages to metrics/.

Run: make docs, or python -m docs
"""

import re
import shutil
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stemtune.core import files, typed_json
from stemtune.core.paths import EXPORT_METRICS, LATENCY, METRICS, RECOMMENDATION
from stemtune.evaluation import advice
from stemtune.evaluation.advice import Stored
from stemtune.evaluation.comparison import Comparison
from stemtune.export.exports import Exports

PAGES = (Path("README.md"), Path("docs/results.md"), Path("docs/deploy.md"))
FIGURE, PICTURE = Path("plots/figures/front.svg"), Path("docs/front.svg")
# How wide the recommendation is in README.
WIDTH = 108

# Column → its cell, of what stands in metrics/evaluate.json.
OF_MODELS: dict[str, Callable[[Any], str]] = {
    "test accuracy here": lambda entry: f"{entry.test_accuracy:.2%}",
    "95% CI": lambda entry: _interval(entry.test_accuracy_low, entry.test_accuracy_high),
    "seed 1": lambda entry: f"{100 * entry.test_accuracy:.1f} ({100 * entry.clip_accuracy:.1f})",
    "trained parameters": lambda entry: f"{entry.trainable_params:,}",
    "GFLOP a frame": lambda entry: f"{entry.flops_per_frame / 1e9:.3f}",
}
# The same of metrics/export.json.
OF_FILES: dict[str, Callable[[Any], str]] = {
    "test accuracy": lambda entry: f"{entry.test_accuracy:.2%}",
    "difference from Keras, points": lambda entry: (
        f"{100 * entry.difference:+.2f} "
        f"({100 * entry.difference_low:+.1f} to {100 * entry.difference_high:+.1f})"
    ).replace("-", "\N{MINUS SIGN}"),
    "same answer": lambda entry: f"{entry.agreement:.1%}",
    "MB": lambda entry: f"{entry.bytes / 1e6:.1f}",
}


def main() -> None:
    """Rewrites the pages; copies the picture and takes times if the outputs are there."""
    times = files.read_json(LATENCY) if LATENCY.exists() else {}
    for page in PAGES:
        files.write_text(page, renewed(page.read_text(encoding="utf-8"), times))
    if FIGURE.exists():
        shutil.copyfile(FIGURE, PICTURE)


def renewed(text: str, times: Mapping[str, Any]) -> str:
    """Returns a page with the numbers of the last run.

    Args:
        text: Of the page.
        times: The content of metrics/latency.json; {}: times stay as they are.
    """
    known: dict[str, dict[str, str]] = {}
    for name, entry in typed_json.read(METRICS, Comparison).models.items():
        known[name] = {column: of(entry) for column, of in OF_MODELS.items()}
        if timed := times.get(f"{name}_float32.tflite"):
            known[name]["ms a frame"] = f"{timed['ms_median']:.1f}"
    for name, export in typed_json.read(EXPORT_METRICS, Exports).exports.items():
        known[name] = {column: of(export) for column, of in OF_FILES.items()}
    columns: list[str] = []
    lines = []
    for line in text.splitlines():
        row = [cell.strip() for cell in line.split("|")[1:-1]] if line.startswith("|") else []
        columns = (columns or row) if row else []
        names = [word for word in re.findall(r"\w+", row[0]) if word in known] if row else []
        lines.append(_row(columns, row, known[names[0]]) if names else line)
    return _with_recommendation("\n".join(lines) + "\n")


def _row(columns: Sequence[str], row: Sequence[str], cells: Mapping[str, str]) -> str:
    """Returns a row of a table with those of its cells that are known."""
    shown = [cells.get(column, cell) for column, cell in zip(columns, row, strict=True)]
    return f"| {' | '.join(shown)} |".replace("|  |", "| |")


def _with_recommendation(text: str) -> str:
    """Returns a page with the sentence of the last run in place of the one in its block."""
    stored = typed_json.read(RECOMMENDATION, Stored).root
    block = textwrap.fill(
        advice.sentence(stored), WIDTH, initial_indent="    ", subsequent_indent="    "
    )
    pattern = r"(?<=\n\n)    (?:Use|Keep|No recommendation)\b.*(?:\n    .+)*"
    return re.sub(pattern, lambda _: block, text)


def _interval(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {100 * high:.1f}"


if __name__ == "__main__":
    main()
