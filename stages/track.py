"""track: shows this pipeline run in MLflow, cached stages included, and prints the comparison.

It always runs and no stage depends on it. metrics/timings.json, which it writes, is a view of the
run records: times differ from run to run, so that nothing else may depend on them.

Reads:  records/, metrics/evaluate.json, report/index.html, dvc.lock
Writes: metrics/timings.json, and runs in the MLflow store
Run:    python -m stages.track
"""

import gc
from typing import Any

from stemtune import comparison, errors, files, params, pipeline, records, summary
from stemtune.paths import METRICS, REPORT, TIMINGS


def main() -> None:
    """Publishes the records of all stages, then prints the table."""
    # Looking for garbage while MLflow is imported takes a fifth of the time, and finds none.
    gc.disable()
    names = pipeline.stages(params.load())
    recorded = [records.read(records.path_of(name)) for name in names]
    times = summary.timings(recorded)
    files.write_json(TIMINGS, times)
    rows = comparison.rows(files.read_json(METRICS))
    publish(names, recorded, rows, times)
    print(f"\n{summary.table(rows, times, 'simple')}\n")
    print(
        "Training is the epochs alone, at all rates that a stem tried; heads train on the features "
        "that embed_frames keeps. "
        "The paper's data are others.\n"
        f"The report: {REPORT}. The runs: make ui"
    )


def publish(
    names: list[str],
    recorded: list[records.Record],
    rows: list[dict[str, Any]],
    times: dict[str, Any],
) -> None:
    """Writes the runs into MLflow; what keeps them out is said, and costs no result."""
    from mlflow.exceptions import MlflowException

    from stemtune import tracking

    shown = tracking.Summary(
        metrics={f"{row['name']}_test_accuracy": row["test_accuracy"] for row in rows},
        model_metrics={row["name"]: model_metrics(row, times) for row in rows},
        description=summary.table(rows, times, "github"),
        artifacts=[str(METRICS), str(TIMINGS), str(REPORT)],
    )
    try:
        run = tracking.publish(recorded, pipeline.current(names), shown)
    except (MlflowException, OSError) as error:
        print(
            f"track: WARNING: this pipeline run is not in MLflow: {error}\n"
            "All results are kept; the next `dvc repro` publishes them"
        )
    else:
        print(f"track: published {len(recorded)} stages in MLflow, parent run {run}")


def model_metrics(row: dict[str, Any], times: dict[str, Any]) -> dict[str, float]:
    """Returns what a model's run shows beside what evaluate measured."""
    metrics = {"train_seconds": times["train_seconds"][row["name"]]}
    if row["paper_test_accuracy"] is not None:
        metrics["paper_test_accuracy"] = row["paper_test_accuracy"]
    return metrics


if __name__ == "__main__":
    errors.run("track", main)
