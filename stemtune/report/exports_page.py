"""The page of the exports: accuracy against measured time, and all numbers in a table.

It is no part of the report, which is the same each time: times differ from run to run.
"""

from collections.abc import Sequence
from pathlib import Path

import jinja2
import matplotlib.pyplot as plt
import numpy as np

from stemtune.core import content_policy, files
from stemtune.core.records import Record
from stemtune.export import exports
from stemtune.export.exports import ONE_THREAD, Exports
from stemtune.report.drawing import STYLE, WIDE, colors, svg

TEMPLATE = Path(__file__).with_name("exports.html.j2")
MARKS = {"float32": "o", "float16": "^", "int8": "s"}


def write(path: Path, judged: Exports, timed: Sequence[Record]) -> None:
    """Writes the page.

    Args:
        path: Of the page.
        judged: What the files are worth.
        timed: Their records, with the times.
    """
    template = jinja2.Template(TEMPLATE.read_text(encoding="utf-8"), autoescape=True)
    figure, table = "", ""
    if judged.exports:
        # What is before it, the declaration of XML, has no place in a page.
        figure = "<svg" + draw(judged, timed).partition("<svg")[2]
        table = exports.table(judged, timed, "html")
    page = template.render(figure=figure, table=table, content_policy=content_policy.META)
    files.write_text(path, page)


def draw(judged: Exports, timed: Sequence[Record]) -> str:
    """Returns accuracy against measured time as SVG, a point per file."""
    milliseconds = {record.name: record.metrics[ONE_THREAD] for record in timed}
    chosen = colors([export.model for export in judged.exports.values()])
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=WIDE, layout="constrained")
        for name, export in judged.exports.items():
            accuracy = 100 * export.test_accuracy
            bounds = [
                [accuracy - 100 * export.test_accuracy_low],
                [100 * export.test_accuracy_high - accuracy],
            ]
            axes.errorbar(
                milliseconds[name],
                accuracy,
                np.maximum(bounds, 0),
                fmt=MARKS[export.precision],
                capsize=3,
                color=chosen[export.model],
                label=f"{export.model}, {export.precision}",
            )
        axes.set(
            xlabel="ms for a frame, one thread",
            ylabel="test accuracy on frames, %, with 95% bounds",
        )
        axes.set_xlim(left=0)
        axes.legend(loc="lower right")
        return svg(figure)
