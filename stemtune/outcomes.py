"""What MLflow shows of a whole pipeline run: numbers to compare models by, and their meaning."""

from collections.abc import Mapping, Sequence
from typing import Any

from stemtune import paper, summary
from stemtune.journal import Outcome, Registered, Shown
from stemtune.params import Params
from stemtune.paths import BASELINE, STEMS
from stemtune.pipeline import Lock
from stemtune.records import Record, environment, preference

COUNTS = ("clips", "frames", "groups", "quarantined")
MEANING = {
    "test_accuracy": "share of the test frames classified rightly; bounds: 95%, over groups",
    "clip_accuracy": "the same of clips, by the vote of their frames",
    "paper_test_accuracy": "what the paper reports for such a model, on its own, unnamed data",
    "trainable_params": "parameters that were trained, all others being frozen",
    "train_seconds": "of all epochs, at all rates that were tried; heads train on cached features",
    "ms_per_frame": "on this machine, frames already decoded",
    "flops_per_frame": "operations, counted: a multiplication with its addition as two",
    "estimated_wh": "of the stage that trained the model: codecarbon's estimate, not a meter's",
}


def of_pipeline(
    params: Params,
    lock: Lock,
    recorded: Sequence[Record],
    rows: list[dict[str, Any]],
    times: dict[str, Any],
) -> Outcome:
    """Returns what a pipeline run came to.

    Args:
        params: It ran with.
        lock: What DVC noted of it.
        recorded: The records of all its stages, in order.
        rows: From `comparison.rows`.
        times: From `summary.timings`.
    """
    by_stage = {record.name: record for record in recorded}
    stems = [record for name, record in by_stage.items() if name.startswith("add_stem@")]
    best = min(stems, key=preference).name.removeprefix("add_stem@")
    folders = {"baseline": ("baseline", BASELINE), "stem": (best, STEMS / best)}
    legend = "\n".join(f"- `{name}`: {meaning}" for name, meaning in MEANING.items())
    extracted = by_stage["extract_frames"].metrics
    return Outcome(
        lock=lock,
        environment=environment() | {"threads": str(params.runtime.threads)},
        size=params.extract_frames.size,
        counts={name: int(extracted[name]) for name in COUNTS},
        metrics={f"{row['name']}_test_accuracy": row["test_accuracy"] for row in rows},
        description=(
            f"{summary.table(rows, times, 'github')}\n\n"
            f"Registered as stem: {best}, which validates best. The paper's data are others.\n\n"
            f"To compare models, select their runs below evaluate. {legend}"
        ),
        models={row["name"]: _shown(row, by_stage, times, legend) for row in rows},
        registered=[
            Registered(
                name=name,
                alias=alias,
                folder=folder.as_posix(),
                digest=lock.outputs[folder.as_posix()],
            )
            for alias, (name, folder) in folders.items()
        ],
    )


def _shown(
    row: Mapping[str, Any],
    by_stage: Mapping[str, Record],
    times: Mapping[str, Any],
    legend: str,
) -> Shown:
    name, metrics = row["name"], {"train_seconds": times["train_seconds"][row["name"]]}
    if row["paper_test_accuracy"] is not None:
        metrics["paper_test_accuracy"] = row["paper_test_accuracy"]
        metrics["paper_train_minutes"] = paper.TRAINING_MINUTES[row["paper_name"]]
    trained = by_stage.get("train_best" if name == "baseline" else f"add_stem@{name}")
    settings = {"model": row["model"]}
    if trained:
        metrics["estimated_wh"] = trained.energy_wh or 0.0
        wanted = ("learning_rate", "start", "objective")
        settings |= {key: trained.params[key] for key in wanted if key in trained.params}
    return Shown(title=row["model"], params=settings, metrics=metrics, description=legend)
