"""What a pipeline run ends with on the terminal: candidates, hints, what to run, and links."""

import os
from collections.abc import Sequence
from math import inf
from pathlib import Path

from tabulate import tabulate

from stemtune.core import dvc, printable
from stemtune.core.paths import REPORT
from stemtune.core.records import Record
from stemtune.core.terminal import hint, wrapped
from stemtune.evaluation import advice
from stemtune.evaluation.advice import Recommendation
from stemtune.evaluation.listed import Listed
from stemtune.tracking.pipeline_run import DVC_EXPERIMENT_VARIABLE

# Of a name in the table; a longer one takes a second line.
NAME_WIDTH = 40
COLUMNS = ("candidate", "frames", "clip accuracy", "95% interval", "ms a clip", "")


def closing(
    listed: Sequence[Listed],
    records: Sequence[Record],
    advised: Recommendation | None,
    since: float = inf,
) -> str:
    """Returns the last lines of a pipeline run.

    Args:
        listed: The candidates.
        records: Of the stages, whose notes are hints.
        advised: The content of metrics/recommendation.json.
        since: Seconds since 1970: stages that started later have printed their notes themselves.
    """
    notes = [
        f"{each.name}: {note}" for each in records if each.started < since for note in each.notes
    ]
    sentence = advice.sentence(advised)
    # The other sentences begin with what there is not.
    label = "Recommendation: " if sentence.startswith(("Use", "Keep")) else ""
    parts = [
        table(listed) if listed else "",
        "\n".join(hint(each) for each in [*notes, *(advised.warnings if advised else [])]),
        wrapped(label + sentence, more=""),
        _links(),
    ]
    return "\n\n".join(part for part in parts if part)


def _links() -> str:
    """Returns where the results are, and how to keep them."""
    if dvc.project() != Path():
        # DVC deletes this copy of the project, with the report, when the experiment is over.
        name = os.environ.get(DVC_EXPERIMENT_VARIABLE, "NAME")
        return f"Runs     make ui      Keep: .venv/bin/dvc exp apply {printable.name(name)}"
    # Terminals open an address of this form at a click.
    return (
        f"Report   {REPORT.resolve().as_uri()}\n"
        "Runs     make ui      Try a clip: make demo      Keep: git commit -a"
    )


def table(listed: Sequence[Listed]) -> str:
    """Returns the Pareto front, what is recommended, the reference, and the paper's models."""
    rows = [
        (
            each.candidate.rpartition(" on ")[0],
            str(each.frames),
            f"{each.clip_accuracy:.1%}",
            f"{100 * each.clip_accuracy_low:.1f} to {100 * each.clip_accuracy_high:.1f}",
            f"{each.milliseconds:.1f}",
            _mark(each),
        )
        for each in listed
        if each.on_front or _mark(each)
    ]
    # As a row: tabulate would widen each column by two for headers.
    return tabulate(
        [COLUMNS, *rows],
        tablefmt="plain",
        disable_numparse=True,
        colalign=("left", "right", "right", "right", "right", "left"),
        maxcolwidths=[NAME_WIDTH],
    )


def _mark(each: Listed) -> str:
    marks = (
        ("chosen", each.is_chosen),
        ("reference", each.is_reference),
        ("paper", each.as_in_paper),
    )
    return next((word for word, is_it in marks if is_it), "")
