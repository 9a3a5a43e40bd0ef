"""What MLflow shows of a whole pipeline run: numbers to compare models by, and their meaning."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from stemtune.core import environment, files
from stemtune.core.params import Params
from stemtune.core.records import Record
from stemtune.evaluation import advice, comparison, listed
from stemtune.evaluation.advice import Recommendation
from stemtune.evaluation.comparison import STEM, Row
from stemtune.export import exports
from stemtune.export.exports import Exports
from stemtune.tracking import summary, tree
from stemtune.tracking.dvc_lock import Locked
from stemtune.tracking.outbox import Data, Outcome, Registered
from stemtune.tracking.pipeline_run import PipelineRun
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
    "flops_per_frame": "operations, counted: a multiplication with its addition as two",
    "estimated_wh": "of the stage that trained the model: codecarbon's estimate, not a meter's",
}
LEGEND = "\n".join(f"- `{name}`: {meaning}" for name, meaning in MEANING.items())


def of_pipeline(
    settings: Params,
    locked: Locked,
    run: PipelineRun,
    recorded: Sequence[Record],
    rows: Sequence[Row],
    exported: Exports,
    advised: Recommendation | None,
) -> Outcome:
    """Returns what a pipeline run came to.

    Args:
        settings: It ran with.
        locked: What DVC noted of it.
        run: The pipeline run.
        recorded: The records of all its stages, in order.
        rows: From `comparison.rows`.
        exported: The content of metrics/export.json.
        advised: The content of metrics/recommendation.json.
    """
    by_stage = {record.name: record for record in recorded}
    times = summary.timings(recorded)
    extracted = by_stage["extract_frames"].metrics
    stages = []
    for record in recorded:
        tags = record.tags | {"stage_key": locked.stage_keys[record.name]}
        stages.append(record.model_copy(update={"tags": tags}))
        if record.name == "evaluate":
            stages[-1].children = _models(record, rows, by_stage, times)
    parent = tree.concluded(run, stages, time.time())
    parent.metrics = {f"{row.name}_test_accuracy": row.test_accuracy for row in rows}
    parent.tags = {"dvc.lock": locked.digest, "threads": str(settings.runtime.threads)}
    parent.tags |= environment.describe()
    parent.description = _description(by_stage, rows, times, exported, advised)
    if advised:
        _recommend(parent, advised)
    return Outcome(
        parent=parent,
        data=Data(
            digest=locked.data,
            size=settings.extract_frames.size,
            counts={name: int(extracted[name]) for name in COUNTS},
        ),
        registered=[
            Registered(
                name=row.name,
                alias=alias,
                digest=locked.outputs[comparison.folder(row.name).as_posix()],
                description=f"{row.model}. Test accuracy: {row.test_accuracy:.2%} of frames, "
                f"{row.clip_accuracy:.2%} of clips.",
            )
            for alias, row in registered(rows).items()
        ],
        exports=exports_of(by_stage["export"]),
    )


def registered(rows: Sequence[Row]) -> dict[str, Row]:
    """Returns the models for the registry by alias: the baseline, and the best stem."""
    by_name = {row.name: row for row in rows}
    stems = {row.name: row for row in rows if row.kind == STEM}
    return {"baseline": by_name["baseline"], "stem": by_name[comparison.ranked(stems)[0]]}


def exports_of(record: Record) -> dict[str, dict[str, str]]:
    """Returns, by model, the names of the files that were made of it, and the MD5 of each.

    Args:
        record: Of the stage export.
    """
    found: dict[str, dict[str, str]] = {}
    for export in record.children:
        paths = {Path(path).name: files.md5(Path(path)) for path in export.artifacts}
        found.setdefault(export.params["model"], {}).update(paths)
    return found


def _description(
    by_stage: Mapping[str, Record],
    rows: Sequence[Row],
    times: Timings,
    exported: Exports,
    advised: Recommendation | None,
) -> str:
    notes = [f"{name}: {note}\n\n" for name, record in by_stage.items() for note in record.notes]
    return (
        f"**{advice.sentence(advised)}**\n\n"
        f"{summary.table(rows, times)}\n\n"
        f"{exports.table(exported, by_stage['export'].children, 'github')}\n\n"
        f"{''.join(notes)}"
        f"Registered as stem: {registered(rows)['stem'].name}, which has the lowest validation "
        "loss. The paper's data are others.\n\n"
        f"To compare models, select their runs below evaluate. {LEGEND}"
    )


def _recommend(parent: Record, advised: Recommendation) -> None:
    """Adds the recommendation to a parent: words to find it by, and columns of a comparison."""
    chosen = advised.recommended
    parent.params["recommended"] = chosen or "none: too few groups"
    parent.tags["recommendation.verdict"] = advised.verdict
    if chosen:
        parent.tags["recommendation"] = chosen
    if advised.cost and advised.difference:
        parent.metrics |= {
            "recommendation_price_share": advised.cost.share,
            "recommendation_difference": advised.difference.difference,
            "recommendation_difference_low": advised.difference.low,
            "recommendation_difference_high": advised.difference.high,
        }
    for each in listed.read():
        if each.candidate == chosen:
            parent.metrics["recommended_clip_accuracy"] = each.clip_accuracy
            parent.metrics["recommended_ms_per_clip"] = each.milliseconds


def _models(
    evaluated: Record, rows: Sequence[Row], by_stage: Mapping[str, Record], times: Timings
) -> list[Record]:
    """Returns the records of evaluate's models, with what other stages know of each."""
    by_name = {row.name: row for row in rows}
    return [_model(child, by_name[child.name], by_stage, times) for child in evaluated.children]


def _model(child: Record, row: Row, by_stage: Mapping[str, Record], times: Timings) -> Record:
    name, metrics = row.name, {"train_seconds": times.train_seconds[row.name]}
    if row.paper_test_accuracy is not None and row.paper_train_minutes is not None:
        metrics["paper_test_accuracy"] = row.paper_test_accuracy
        metrics["paper_train_minutes"] = row.paper_train_minutes
    trained = by_stage.get("train_best" if name == "baseline" else f"add_stem@{name}")
    settings, notes = {"model": row.model}, []
    if trained:
        metrics["estimated_wh"] = trained.energy_wh or 0.0
        wanted = ("learning_rate", "head")
        settings |= {key: trained.params[key] for key in wanted if key in trained.params}
        notes = [f"**{note}**" for note in trained.notes]
    return child.model_copy(
        update={
            "title": row.model,
            "params": child.params | settings,
            "metrics": child.metrics | metrics,
            "description": "\n\n".join([*notes, LEGEND]),
        }
    )
