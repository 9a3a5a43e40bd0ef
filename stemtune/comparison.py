"""The models of metrics/evaluate.json as rows, each with the paper's number where it has one."""

from typing import Any

CONTROLS = ("baseline", "resize", "resize_retrained")


def rows(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns a row per model, controls first.

    Each row has the entry's values, `name` (as in the records), `model` (for people),
    `paper_name` (what the paper would call it) and `paper_test_accuracy` (None where it has none).
    """
    entries = [(name, name, name, metrics[name]) for name in CONTROLS]
    entries += [
        (name, f"stem, {name}", "stem", entry) for name, entry in sorted(metrics["stem"].items())
    ]
    return [
        {
            "name": name,
            "model": model,
            "paper_name": paper_name,
            "paper_test_accuracy": metrics["paper"].get(paper_name, {}).get("test_accuracy"),
            **entry,
        }
        for name, model, paper_name, entry in entries
    ]
