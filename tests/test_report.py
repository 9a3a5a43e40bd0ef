"""The report: complete, self-contained, the same bytes each time, and safe with odd class names."""

from pathlib import Path
from typing import Any

import pandas as pd

from stemtune import comparison, paper, report, summary
from stemtune.records import Epoch, Record

EVIL = "<script>alert(1)</script> $x$"


def entry(accuracy: float, trained: int) -> dict[str, Any]:
    return {
        "test_accuracy": accuracy,
        "test_accuracy_low": accuracy - 0.1,
        "test_accuracy_high": accuracy + 0.05,
        "clip_accuracy": accuracy,
        "trainable_params": trained,
        "total_params": 3_000_000,
        "flops_per_frame": 800_000_000,
        "input_size": 224,
    }


METRICS = {
    "baseline": entry(0.9, 1000),
    "resize": entry(0.6, 0),
    "resize_retrained": entry(0.7, 1000),
    "stem": {"warm_start": entry(0.75, 528)},
    "paper": paper.METRICS,
}


def render(tmp_path: Path) -> str:
    confusion = tmp_path / "confusion"
    confusion.mkdir(exist_ok=True)
    answers = pd.DataFrame({"actual": ["a", EVIL, EVIL], "predicted": ["a", EVIL, "a"]})
    answers.to_csv(confusion / "baseline.csv", index=False)
    trials = pd.DataFrame(
        [
            {
                "trial": "trial 1",
                "epochs": 5,
                "learning_rate": 0.01,
                "validation_accuracy": 0.8,
                "test_accuracy": 0.9,
            }
        ]
    )
    history = pd.DataFrame(
        {
            "model": "baseline",
            "epoch": [1, 2],
            "train_accuracy": [0.1, 0.2],
            "train_loss": [2.0, 1.0],
            "validation_accuracy": [0.1, 0.2],
            "validation_loss": [2.0, 1.0],
        }
    )
    return report.render(METRICS, trials, history, confusion)


def test_it_shows_measured_beside_paper_and_needs_no_other_file(tmp_path: Path) -> None:
    page = render(tmp_path)
    for text in ("90.00%", "92.07%", "75.00%", "84.37%", "528", "0.800", "91.20%", "1e-05"):
        assert text in page
    assert page.count("<svg") == 3
    assert " src=" not in page
    assert "<link" not in page
    assert "<script" not in page


def test_equal_results_give_equal_bytes(tmp_path: Path) -> None:
    assert render(tmp_path) == render(tmp_path)


def test_the_closing_table_has_accuracy_parameters_and_time_beside_the_paper() -> None:
    epochs = [Epoch(epoch=1, time=0, seconds=2.5, metrics={})]
    models = [
        Record(name=name, started=0, metrics={"ms_per_frame": 4.0})
        for name in ("baseline", "resize", "resize_retrained", "warm_start")
    ]
    records = [
        Record(name="extract_frames", started=0, metrics={"frames_per_second": 50.0}),
        Record(name="embed_frames", started=0),
        Record(name="tune_lr", started=0, parts=[Record(name="trial 1", started=0, seconds=3)]),
        Record(name="train_best", started=0, epochs=epochs),
        Record(name="add_stem@warm_start", started=0, epochs=epochs * 2),
        Record(name="evaluate", started=0, parts=models, energy_wh=0.1, energy_method="guess"),
    ]
    times = summary.timings(records)
    assert times["train_seconds"]["warm_start"] == 5.0
    assert times["seconds_per_trial"] == {"trial 1": 3.0}
    assert times["frames_per_second"] == {"extract_frames": 50.0}
    assert times["estimated_wh"]["method"] == "guess"
    table = summary.table(comparison.rows(METRICS), times, "simple")
    baseline = next(line for line in table.splitlines() if line.startswith("baseline"))
    for cell in ("90.00%", "92.07%", "1,000", "2.5 s", "78 min", "4.0"):
        assert cell in baseline
    stem = next(line for line in table.splitlines() if line.startswith("stem, warm_start"))
    for cell in ("75.00%", "84.37%", "528", "5.0 s", "48 min"):
        assert cell in stem
