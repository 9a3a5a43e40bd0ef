"""What a pipeline run comes to: times and energy from the run records, and tables for MLflow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from tabulate import tabulate

from stemtune.core.records import Record
from stemtune.evaluation.comparison import Row


@dataclass(frozen=True)
class Energy:
    """What a pipeline run took, as far as it can be estimated.

    Attributes:
        method: How it was estimated.
        total: Watt-hours.
        per_stage: Watt-hours by stage; None of a stage whose record has none.
    """

    method: str
    total: float
    per_stage: Mapping[str, float | None]


@dataclass(frozen=True)
class Timings:
    """The content of metrics/timings.json.

    Attributes:
        seconds_per_stage: By stage.
        seconds_per_epoch: By model, of each epoch.
        seconds_per_trial: By trial.
        train_seconds: Of all epochs, at all the rates that were tried, by model.
        frames_per_second: Decoded and embedded, by stage; none of a stage that had nothing to do.
        estimated_wh: Energy.
    """

    seconds_per_stage: Mapping[str, float]
    seconds_per_epoch: Mapping[str, Sequence[float]]
    seconds_per_trial: Mapping[str, float]
    train_seconds: Mapping[str, float]
    frames_per_second: Mapping[str, float]
    estimated_wh: Energy


def timings(records: Sequence[Record]) -> Timings:
    """Returns the content of metrics/timings.json.

    Args:
        records: Of the stages; those of evaluate's models and tune_lr's trials are inside.
    """
    by_name = {record.name: record for record in records}
    models = {child.name: child for child in by_name["evaluate"].children}
    trained = {name: _training(name, by_name, child) for name, child in models.items()}
    return Timings(
        seconds_per_stage={record.name: record.seconds for record in records},
        seconds_per_epoch={
            name: [epoch.seconds for epoch in record.epochs] for name, record in trained.items()
        },
        seconds_per_trial={child.name: child.seconds for child in by_name["tune_lr"].children},
        train_seconds={
            name: sum(
                epoch.seconds for tried in record.children or [record] for epoch in tried.epochs
            )
            for name, record in trained.items()
        },
        frames_per_second={
            name: by_name[name].metrics["frames_per_second"]
            for name in ("extract_frames", "embed_frames")
            if "frames_per_second" in by_name[name].metrics
        },
        estimated_wh=Energy(
            method=by_name["evaluate"].energy_method,
            total=sum(record.energy_wh or 0 for record in records),
            per_stage={record.name: record.energy_wh for record in records},
        ),
    )


def _training(name: str, by_name: Mapping[str, Record], model: Record) -> Record:
    """Returns the record that has a model's training: with no epochs if it has none of its own."""
    if name == "baseline":
        return by_name["train_best"]
    resized = by_name["train_resized"].children
    if children := [child for child in resized if child.name.startswith(f"{name}, ")]:
        best = min(children, key=lambda child: child.metrics.get("validation_loss", inf))
        return model.model_copy(update={"children": children, "epochs": best.epochs})
    return by_name.get(f"add_stem@{name}", model)


def table(rows: Sequence[Row], times: Timings) -> str:
    """Returns the comparison as a table in Markdown.

    Args:
        rows: From `comparison.rows`.
        times: From `timings`.
    """
    lines = []
    for row in rows:
        lines.append(
            {
                "model": row.model,
                "test accuracy": f"{row.test_accuracy:.2%}",
                "95% bounds": f"{row.test_accuracy_low:.1%} to {row.test_accuracy_high:.1%}",
                "clips": f"{row.clip_accuracy:.2%}",
                "paper": _or_blank(row.paper_test_accuracy, "{:.2%}"),
                "trained parameters": f"{row.trainable_params:,}",
                "training": f"{times.train_seconds[row.name]:.1f} s",
                "paper's training": _or_blank(row.paper_train_minutes, "{} min"),
            }
        )
    return tabulate(lines, headers="keys", tablefmt="github", disable_numparse=True)


def _or_blank(value: float | None, style: str) -> str:
    return "" if value is None else style.format(value)
