"""Brings pipeline runs into MLflow at the end of one; whatever goes wrong costs no result."""

from collections.abc import Collection, Sequence
from pathlib import Path

import psutil

from stemtune.core import errors, pipeline_run, printable
from stemtune.core.params import Params
from stemtune.core.paths import DATA_DOCS, METRICS, PLOTS, RECOMMENDATION, REPORT, TIMINGS
from stemtune.core.records import Record
from stemtune.evaluation.advice import Recommendation
from stemtune.evaluation.comparison import Row
from stemtune.export.exports import Exports
from stemtune.tracking import outbox, pipeline, run_summary, store
from stemtune.tracking.outbox import Outbox, Outcome
from stemtune.tracking.summary import Timings


def publish(
    settings: Params,
    recorded: list[Record],
    rows: Sequence[Row],
    exported: Exports,
    times: Timings,
    advised: Recommendation | None,
) -> None:
    """Publishes a pipeline run, and those before that MLflow does not show whole yet.

    What keeps one out of MLflow is said, and costs no result.

    Args:
        settings: It ran with.
        recorded: The records of all its stages, in order.
        rows: From `comparison.rows`.
        exported: The content of metrics/export.json.
        times: From `summary.timings`.
        advised: The content of metrics/recommendation.json.
    """
    try:
        lock = pipeline.read_lock([record.name for record in recorded])
        outcome = run_summary.of_pipeline(settings, lock, recorded, rows, exported, times, advised)
        with outbox.alone():
            _keep(recorded, outcome)
            store.mend()
            publish_waiting(settings.track.timeout_seconds, lock.outputs.values())
    except Exception as error:
        # Whatever it is, it concerns MLflow alone.
        _warn("this run is not kept for MLflow", error)


def publish_waiting(seconds: float, present: Collection[str]) -> None:
    """Publishes the pipeline runs that are over.

    Args:
        seconds: After which no further call is made, for each.
        present: DVC's hashes of the model folders as they are now.
    """
    for waiting in outbox.pending():
        if waiting.outcome() or not waiting.goes_on():
            _publish(waiting, seconds, present)


def _keep(recorded: list[Record], outcome: Outcome) -> None:
    """Puts all of this pipeline run into its outbox."""
    process = psutil.Process()
    is_by_hand = pipeline_run.owner(process) == process
    run = outbox.known(outcome) if is_by_hand else None
    kept = Outbox.open(run) if run else Outbox.current("track by hand")
    kept.end_reporter()
    for record in recorded:
        kept.keep(record)
        kept.attach(record.name, [Path(path) for path in record.artifacts])
    kept.attach("", [METRICS, RECOMMENDATION, TIMINGS, REPORT.parent, DATA_DOCS, PLOTS / "figures"])
    kept.conclude(outcome)


def _publish(waiting: Outbox, seconds: float, present: Collection[str]) -> None:
    # Importing MLflow takes seconds, in which the results might have been kept.
    from stemtune.tracking.client import Client
    from stemtune.tracking.publisher import Publisher

    run = waiting.pipeline()
    waiting.end_reporter()
    try:
        parent = Publisher(Client(seconds), run).publish(waiting, present)
    except Exception as error:
        # Whatever a store or its libraries come up with, the results are there.
        _warn(f"{run.name} is not, or not all, in MLflow ({store.address()})", error)
    else:
        waiting.close()
        print(f"track: published {run.name} in MLflow, parent run {parent}")


def _warn(what: str, error: Exception) -> None:
    warning = f"track: WARNING: {what}: {errors.first_line(error)}"
    print(
        f"{printable.message(warning)}\n"
        "All results are kept; the next `dvc repro`, or `make publish`, publishes them"
    )
