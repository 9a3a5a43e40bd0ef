"""The page of the exports: accuracy against measured time, and all numbers in a table."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from markupsafe import Markup

from stemtune.core import files
from stemtune.evaluation.prices import FilePrice
from stemtune.export.exports import Exports
from stemtune.report import drawing, tables, templates

TEMPLATE = Path(__file__).with_name("exports.html.j2")
MARKS = {"float32": "o", "float16": "^", "int8": "s"}


def write(path: Path, judged: Exports, priced: Mapping[str, FilePrice]) -> None:
    """Writes the page.

    Args:
        path: Of the page.
        judged: What the files are worth.
        priced: What they cost, by name.
    """
    figure = Markup(draw(judged, priced) if judged.exports else "")  # noqa: S704
    rows = table(judged, priced)
    files.write_text(path, templates.load(TEMPLATE).render(figure=figure, files=rows))


def table(judged: Exports, priced: Mapping[str, FilePrice]) -> pd.DataFrame:
    """Returns a row per file, with its accuracy, size and times."""
    return pd.DataFrame(
        {
            "file": name,
            "frame size, px": export.side,
            "frame accuracy (95% CI)": templates.accuracy(export, "test_accuracy"),
            "difference from Keras, points (95% CI)": templates.points(export.difference)
            + f" ({templates.points(export.difference_low)}"
            f" to {templates.points(export.difference_high)})",
            "same answer as Keras": templates.percent(export.agreement),
            "ms a frame, median": tables.known(priced[name].ms_median, 2),
            "ms a frame, 95th percentile": tables.known(priced[name].ms_p95, 2),
            "size, MB": f"{export.bytes / 1e6:.1f}",
            "peak memory, MiB": tables.known(priced[name].peak_mib, 0),
        }
        for name, export in judged.exports.items()
    )


def draw(judged: Exports, priced: Mapping[str, FilePrice]) -> str:
    """Returns accuracy against measured time as SVG, a point per file."""
    chosen = drawing.colors([export.model for export in judged.exports.values()])
    figure, axes = plt.subplots(figsize=drawing.TALL)
    for name, export in judged.exports.items():
        look = {"fmt": MARKS[export.precision], "color": chosen[export.model]}
        label = f"{export.model}, {export.precision}"
        drawing.accuracy(axes, priced[name].ms_median, export, label=label, **look)
    # Not before: it would keep the axis from growing with the points.
    axes.set_xlim(left=0)
    axes.set_xlabel("ms a frame, median on one thread")
    figure.legend(**drawing.LEGEND)
    return drawing.svg(figure)
