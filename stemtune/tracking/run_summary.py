"""What MLflow shows of a whole pipeline run: numbers to compare models by, and their meaning."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from stemtune.core import files
from stemtune.core.params import Params
from stemtune.core.paths import BASELINE, STEMS
from stemtune.core.records import Record, environment
from stemtune.evaluation import advice, comparison
from stemtune.evaluation.advice import Recommendation
from stemtune.evaluation.comparison import STEM, Row
from stemtune.export.exports import Exports
from stemtune.tracking import summary
from stemtune.tracking.outbox import Outcome, Registered, Shown
from stemtune.tracking.pipeline import Lock
from stemtune.tracking.summary import Timings

COUNTS = ("clips", "frames", "groups", "quarantined")
MEANING = {
    "test_accuracy": "share of the test frames classified rightly; bounds: 95%, over groups",
    "clip_accuracy": "the same of clips, by the mean probability of their frames",
    "paper_test_accuracy": "what the paper reports for such a model, on its own, unnamed data",
    "validation_accuracy": "the same of validation frames",
    "validation_loss": "cross-entropy on validation frames, by which models are chosen",
    "trainable_params": "parameters that were trained, all others being frozen",
    "train_seconds": "of all epochs, of all attempts; heads train on cached features",
    "ms_per_frame": "on this machine, frames already decoded",
    "flops_per_frame": "operations, counted: a multiplication with its addition as two",
    "estimated_wh": "of the stage that trained the model: codecarbon's estimate, not a meter's",
}


def of_pipeline(
    params: Params,
    lock: Lock,
    recorded: Sequence[Record],
    rows: Sequence[Row],
    exported: Exports,
    times: Timings,
    advised: Recommendation | None,
) -> Outcome:
    """Returns what a pipeline run came to.

    Args:
        params: It ran with.
        lock: What DVC noted of it.
        recorded: The records of all its stages, in order.
        rows: From `comparison.rows`.
        exported: The content of metrics/export.json.
        times: From `summary.timings`.
        advised: The content of metrics/recommendation.json.
    """
    by_stage = {record.name: record for record in recorded}
    stems = [row for row in rows if row.kind == STEM]
    best = comparison.ranked({row.name: row for row in stems})[0]
    folders = {"baseline": ("baseline", BASELINE), "stem": (best, STEMS / best)}
    notes = "".join(f"{note}\n\n" for note in summary.notes(recorded))
    legend = "\n".join(f"- `{name}`: {meaning}" for name, meaning in MEANING.items())
    extracted = by_stage["extract_frames"].metrics
    return Outcome(
        lock=lock,
        environment=environment() | {"threads": str(params.runtime.threads)},
        size=params.extract_frames.size,
        counts={name: int(extracted[name]) for name in COUNTS},
        metrics={f"{row.name}_test_accuracy": row.test_accuracy for row in rows} | _price(advised),
        tags=_verdict(advised),
        description=(
            f"**{advice.sentence(advised)}**\n\n"
            f"{summary.table(rows, times, 'github')}\n\n"
            f"{summary.table_of_exports(exported, recorded, 'github')}\n\n"
            f"{notes}"
            f"Registered as stem: {best}, which has the lowest validation loss. The paper's data "
            "are others.\n\n"
            f"To compare models, select their runs below evaluate. {legend}"
        ),
        models={row.name: _shown(row, by_stage, times, legend) for row in rows},
        registered=[
            Registered(
                name=name,
                alias=alias,
                folder=folder.as_posix(),
                digest=lock.outputs[folder.as_posix()],
            )
            for alias, (name, folder) in folders.items()
        ],
        exports=_exports(by_stage["export"]),
    )


def _price(advised: Recommendation | None) -> dict[str, float]:
    """Returns the numbers of the recommendation: of the candidate that it is about."""
    if not advised or not advised.cost or not advised.difference:
        return {}
    return {
        "recommendation_ms_per_clip": advised.cost.milliseconds,
        "recommendation_price_share": advised.cost.share,
        "recommendation_difference": advised.difference.difference,
        "recommendation_difference_low": advised.difference.low,
        "recommendation_difference_high": advised.difference.high,
    }


def _verdict(advised: Recommendation | None) -> dict[str, str]:
    """Returns the words of the recommendation, by which runs are found."""
    if not advised:
        return {}
    run = {"recommendation": advised.recommended} if advised.recommended else {}
    return run | {"recommendation.verdict": advised.verdict}


def _exports(record: Record) -> dict[str, dict[str, str]]:
    """Returns, by model, the files that were made of it, and the MD5 of each."""
    found: dict[str, dict[str, str]] = {}
    for export in record.children:
        paths = {path: files.md5(Path(path)) for path in export.artifacts}
        found.setdefault(export.params["model"], {}).update(paths)
    return found


def _shown(
    row: Row,
    by_stage: Mapping[str, Record],
    times: Timings,
    legend: str,
) -> Shown:
    name, metrics = row.name, {"train_seconds": times.train_seconds[row.name]}
    if row.paper_test_accuracy is not None and row.paper_train_minutes is not None:
        metrics["paper_test_accuracy"] = row.paper_test_accuracy
        metrics["paper_train_minutes"] = row.paper_train_minutes
    trained = by_stage.get("train_best" if name == "baseline" else f"add_stem@{name}")
    settings = {"model": row.model}
    if trained:
        metrics["estimated_wh"] = trained.energy_wh or 0.0
        wanted = ("learning_rate", "start", "objective", "head")
        settings |= {key: trained.params[key] for key in wanted if key in trained.params}
    notes = [f"**{note}**" for note in trained.notes] if trained else []
    description = "\n\n".join([*notes, legend])
    return Shown(title=row.model, params=settings, metrics=metrics, description=description)
