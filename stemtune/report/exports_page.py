"""The page of the exports: accuracy against measured time, and all numbers in a table.

It is no part of the report, which is the same each time: times differ from run to run.
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from markupsafe import Markup

from stemtune.core import files
from stemtune.core.records import Record
from stemtune.export import exports
from stemtune.export.exports import MEDIAN, Exports
from stemtune.report import drawing, templates

TEMPLATE = Path(__file__).with_name("exports.html.j2")
MARKS = {"float32": "o", "float16": "^", "int8": "s"}


def write(path: Path, judged: Exports, timed: Sequence[Record]) -> None:
    """Writes the page.

    Args:
        path: Of the page.
        judged: What the files are worth.
        timed: Their records, with the times.
    """
    figure = Markup(draw(judged, timed) if judged.exports else "")  # noqa: S704
    table = Markup(exports.table(judged, timed, "html"))  # noqa: S704
    files.write_text(path, templates.load(TEMPLATE).render(figure=figure, table=table))


def draw(judged: Exports, timed: Sequence[Record]) -> str:
    """Returns accuracy against measured time as SVG, a point per file."""
    milliseconds = {record.name: record.metrics[MEDIAN] for record in timed}
    chosen = drawing.colors([export.model for export in judged.exports.values()])
    figure, axes = plt.subplots(figsize=drawing.WIDE)
    for name, export in judged.exports.items():
        look = {"fmt": MARKS[export.precision], "color": chosen[export.model]}
        label = f"{export.model}, {export.precision}"
        drawing.accuracy(axes, milliseconds[name], export, label=label, **look)
    axes.set_xlabel("ms for a frame, median on one thread")
    axes.legend(loc="lower right")
    return drawing.svg(figure)
