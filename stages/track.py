"""track: shows this pipeline run in MLflow, cached stages included, and prints the comparison.

It always runs and no stage depends on it. metrics/timings.json, which it writes, is a view of the
run records: times differ from run to run, so that nothing else may depend on them.

Reads:  records/, metrics/, report/, plots/, models/, dvc.lock, block track of params.yaml
Writes: metrics/timings.json, and runs in the MLflow store
Run:    python -m stages.track (by `make publish` too)
"""

import gc
from collections.abc import Collection

import psutil

from stemtune import (
    comparison,
    errors,
    files,
    journal,
    outcomes,
    params,
    pipeline,
    records,
    summary,
)
from stemtune.paths import DATA_DOCS, METRICS, PLOTS, REPORT, TIMINGS

# Reporters of the last stages may still be at it; past this they are ended, and track does it.
PATIENCE_SECONDS = 15


def main() -> None:
    """Publishes the records of all stages, then prints the table."""
    # Looking for garbage while MLflow is imported takes a fifth of the time, and finds none.
    gc.disable()
    settings = params.load()
    names = pipeline.stages(settings)
    recorded = [records.read(records.path_of(name)) for name in names]
    times = summary.timings(recorded)
    files.write_json(TIMINGS, times)
    rows = comparison.rows(files.read_json(METRICS))
    if settings.track.enabled:
        lock = pipeline.read_lock(names)
        outcome = outcomes.of_pipeline(settings, lock, recorded, rows, times)
        with journal.alone():
            keep(recorded, outcome)
            publish_all(settings.track.seconds, lock.outputs.values())
    print(f"\n{summary.table(rows, times, 'simple')}\n")
    print(
        "Training is the epochs alone, at all rates that a stem tried; heads train on the features "
        "that embed_frames keeps. "
        "The paper's data are others.\n"
        f"The report: {REPORT}. The runs: make ui"
    )


def keep(recorded: list[records.Record], outcome: journal.Outcome) -> None:
    """Puts all of this pipeline run into its journal."""
    process = psutil.Process()
    run = None if pipeline.by_dvc(process) else journal.known(outcome)
    kept = journal.Journal.open(run or pipeline.current(process, "track"))
    for reporter in psutil.wait_procs(kept.reporters(), PATIENCE_SECONDS)[1]:
        reporter.kill()
    for record in recorded:
        kept.keep(record)
    kept.attach("", [METRICS, TIMINGS, REPORT.parent, DATA_DOCS, PLOTS / "figures"])
    kept.conclude(outcome)


def publish_all(seconds: float, present: Collection[str]) -> None:
    """Publishes this pipeline run, and those before that MLflow does not show whole yet.

    What keeps one out of MLflow is said, and costs no result.

    Args:
        seconds: For each.
        present: DVC's hashes of what is in the project now.
    """
    from stemtune import tracking

    for waiting in journal.pending():
        run = waiting.pipeline()
        if waiting.outcome() is None and run.alive():
            continue
        try:
            parent = tracking.Publisher(run, seconds).publish(waiting, present)
        except Exception as error:
            # Whatever a store or its libraries come up with, the results are there.
            print(
                f"track: WARNING: {run.name} is not, or not all, in MLflow ({tracking.store()}): "
                f"{tracking.first_line(error)}\n"
                "All results are kept; the next `dvc repro`, or `make publish`, publishes them"
            )
        else:
            waiting.close()
            print(f"track: published {run.name} in MLflow, parent run {parent}")


if __name__ == "__main__":
    errors.run("track", main)
