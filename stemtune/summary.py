"""What a pipeline run comes to: times and energy from the run records, and the closing table."""

from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

from stemtune import paper
from stemtune.records import Record


def timings(records: Sequence[Record]) -> dict[str, Any]:
    """Returns the content of metrics/timings.json.

    Args:
        records: Of the stages; those of evaluate's models and tune_lr's trials are inside.

    Returns:
        Seconds per stage, epoch and trial; training seconds of each model, at all the rates that it
        tried; ms per frame of each; frames decoded and embedded per second; estimated Wh with its
        method.
    """
    by_name = {record.name: record for record in records}
    models = {part.name: part for part in by_name["evaluate"].parts}
    trained = {"baseline": by_name["train_best"]} | {
        name: by_name.get(f"add_stem@{name}", part)
        for name, part in models.items()
        if name != "baseline"
    }
    return {
        "seconds_per_stage": {record.name: record.seconds for record in records},
        "seconds_per_epoch": {
            name: [epoch.seconds for epoch in record.epochs] for name, record in trained.items()
        },
        "seconds_per_trial": {part.name: part.seconds for part in by_name["tune_lr"].parts},
        "train_seconds": {
            name: sum(epoch.seconds for tried in record.parts or [record] for epoch in tried.epochs)
            for name, record in trained.items()
        },
        "ms_per_frame": {name: part.metrics["ms_per_frame"] for name, part in models.items()},
        "frames_per_second": {
            name: by_name[name].metrics["frames_per_second"]
            for name in ("extract_frames", "embed_frames")
            if "frames_per_second" in by_name[name].metrics
        },
        "estimated_wh": {
            "method": by_name["evaluate"].energy_method,
            "total": sum(record.energy_wh or 0 for record in records),
            "per_stage": {record.name: record.energy_wh for record in records},
        },
    }


def table(rows: list[dict[str, Any]], times: dict[str, Any], style: str) -> str:
    """Returns the comparison as a table.

    Args:
        rows: From `comparison.rows`.
        times: From `timings`.
        style: A table format of tabulate: "simple" for a terminal, "github" for Markdown.
    """
    lines = []
    for row in rows:
        name = row["name"]
        minutes = paper.TRAINING_MINUTES.get(row["paper_name"])
        lines.append(
            {
                "model": row["model"],
                "test accuracy": f"{row['test_accuracy']:.2%}",
                "95% bounds": f"{row['test_accuracy_low']:.1%} to {row['test_accuracy_high']:.1%}",
                "clips": f"{row['clip_accuracy']:.2%}",
                "paper": _or_blank(row["paper_test_accuracy"], "{:.2%}"),
                "trained parameters": f"{row['trainable_params']:,}",
                "training": f"{times['train_seconds'][name]:.1f} s",
                "paper's training": _or_blank(minutes, "{} min"),
                "ms per frame": f"{times['ms_per_frame'][name]:.1f}",
            }
        )
    return tabulate(lines, headers="keys", tablefmt=style, disable_numparse=True)


def _or_blank(value: float | None, style: str) -> str:
    return "" if value is None else style.format(value)
