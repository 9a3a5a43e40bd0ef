"""Brings pipeline runs into MLflow at the end of one; whatever goes wrong costs no result.

Run: python -m stemtune.tracking.publishing (by `make publish`): publishes what is pending
"""

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from stemtune.core import all_params, errors
from stemtune.core.all_params import AllParams
from stemtune.core.errors import InputError
from stemtune.core.paths import DATA_DOCS, EXPORTS, METRICS, PLOTS, RECOMMENDATION, REPORT, TIMINGS
from stemtune.core.records import Record
from stemtune.evaluation import comparison
from stemtune.evaluation.advice import Recommendation
from stemtune.evaluation.comparison import Row
from stemtune.export.exports import Exports
from stemtune.tracking import dvc_lock, outbox, run_summary, service
from stemtune.tracking.outbox import Outbox, Unreadable

SHOWN = [METRICS, RECOMMENDATION, TIMINGS, REPORT.parent, DATA_DOCS, PLOTS / "figures"]
# Without settings to name another limit.
PATIENCE_SECONDS = 300.0


def main() -> None:
    """Publishes what is pending, and does nothing else.

    Raises:
        SystemExit: MLflow does not show all of it; what is said names the reasons.
        InputError: The folder of what is pending is another user's.
    """
    try:
        seconds = all_params.load().track.timeout_seconds
    except InputError:
        seconds = PATIENCE_SECONDS
    try:
        waiting = _over()
        if not waiting:
            service.say("nothing is pending")
            return
        # It may be waiting for an answer of a server that is gone.
        service.end(outbox.root())
        reasons = service.wait(waiting, seconds)
    except (OSError, psutil.AccessDenied) as error:
        raise InputError(
            f"{outbox.root()} cannot be used ({errors.first_line(error)}); its owner can publish "
            "what is pending"
        ) from None
    service.warn(reasons)
    sys.exit(bool(reasons))


def begin() -> None:
    """Starts the publisher, which takes seconds to get ready."""
    try:
        Outbox.current("track by hand")
        service.start()
    except Exception as error:
        _warn("no publisher could be started yet", error)


def publish(
    settings: AllParams,
    recorded: Sequence[Record],
    rows: Sequence[Row],
    exported: Exports,
    advised: Recommendation | None,
) -> None:
    """Publishes a pipeline run, and those before that MLflow does not show whole yet.

    What keeps one out of MLflow is said, and costs no result.

    Args:
        settings: It ran with.
        recorded: The records of all its stages, in order.
        rows: From `comparison.rows`.
        exported: The content of metrics/export.json.
        advised: The content of metrics/recommendation.json.
    """
    try:
        locked = dvc_lock.read([record.name for record in recorded])
        kept = Outbox.current("track by hand")
        outcome = run_summary.of_pipeline(
            settings, locked, kept.run(), recorded, rows, exported, advised
        )
        for record in recorded:
            kept.attach(record.name, [Path(path) for path in record.artifacts])
        kept.attach("", SHOWN)
        for model in outcome.registered:
            kept.link(comparison.folder(model.name), f"models/{model.name}")
        for names in outcome.exports.values():
            for name in names:
                kept.link(EXPORTS / name, f"exports/{name}")
        # Last: then it is whole.
        kept.conclude(outcome)
    except Exception as error:
        # Whatever it is, it concerns MLflow alone.
        _warn("this run is not kept for MLflow", error)
        return
    try:
        service.warn(service.wait(_over(), settings.track.timeout_seconds))
    except Exception as error:
        # As before.
        _warn("this run is kept for MLflow, which does not show it yet", error)


def _over() -> list[Outbox]:
    found = []
    for each in outbox.pending():
        with suppress(FileNotFoundError):
            try:
                found += [each] if each.is_over() else []
            except Unreadable as error:
                outbox.put_aside(each, error)
    return found


def _warn(what: str, error: Exception) -> None:
    service.say(f"WARNING: {what}: {errors.first_line(error)}\nAll results are kept")


if __name__ == "__main__":
    errors.run("publish", main)
