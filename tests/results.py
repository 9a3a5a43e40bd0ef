"""Results such as evaluate finds, small and made up, with names that a page could trip over."""

from typing import Any

import numpy as np
import pandas as pd

from stemtune import paper, stem
from stemtune.architecture import Block
from stemtune.pictures import Example
from stemtune.report import Results

EVIL = "<script>console.error(1)</script> $x$"
LONG = "a_class_whose_name_goes_on_and_on_and_says_hardly_anything"
CLASSES = [EVIL, LONG, "ollie"]
MODELS = ["baseline", "resize", "resize_retrained", "paper", "warm_start"]


def entry(accuracy: float, trained: int, gigaflops: float, side: int) -> dict[str, Any]:
    return {
        "test_accuracy": accuracy,
        "test_accuracy_low": accuracy - 0.1,
        "test_accuracy_high": accuracy + 0.05,
        "clip_accuracy": accuracy,
        "calibration_error": 0.125,
        "trainable_params": trained,
        "total_params": 3_000_000,
        "flops_per_frame": gigaflops * 1e9,
        "input_size": side,
    }


METRICS: dict[str, Any] = {
    "baseline": entry(0.9, 1000, 0.8, 224),
    "resize": entry(0.6, 0, 0.2, 108),
    "resize_retrained": entry(0.7, 1000, 0.2, 108),
    "stem": {"paper": entry(0.5, 528, 0.3, 224), "warm_start": entry(0.75, 528, 0.3, 224)},
    "paper": paper.METRICS,
}


def comparison(name: str, other: str, difference: float, low: float, high: float) -> dict[str, Any]:
    return {
        "stem": name,
        "other": other,
        "difference": difference,
        "low": low,
        "high": high,
        "first_alone": 31,
        "second_alone": 13,
        "mcnemar_p": 0.0125,
    }


def make(split_by: str = "group") -> Results:
    """Returns complete results of five models on three classes."""
    random = np.random.default_rng(5)
    frames = pd.DataFrame(
        {
            "clip": [f"{name}/{number // 2}" for name in CLASSES for number in range(12)],
            "group": [f"{name} {number // 4}" for name in CLASSES for number in range(12)],
            "class": np.repeat(CLASSES, 12),
            "split": ["train", "validation", "test"] * 12,
        }
    )
    history = pd.DataFrame(
        {
            "model": np.repeat(["baseline", "paper", "warm_start"], 2),
            "epoch": [1, 2] * 3,
            **{
                f"{split}_{metric}": random.random(6)
                for split in ("train", "validation")
                for metric in ("accuracy", "loss")
            },
        }
    )
    answers = {
        name: pd.DataFrame({"actual": CLASSES * 2, "predicted": random.choice(CLASSES, 6)})
        for name in MODELS
    }
    start = [random.normal(size=(7, 7, 3, 3)), random.normal(size=(3, 3, 3, 3))]
    picture = random.integers(0, 256, (24, 24, 3), np.uint8)
    return Results(
        metrics=METRICS,
        frames=frames,
        split_by=split_by,
        trials=pd.DataFrame(
            {
                "trial": ["trial 1", "trial 2"],
                "epochs": 5,
                "learning_rate": [0.01, 0.003],
                "validation_accuracy": [0.8, 0.85],
                "test_accuracy": [0.9, np.nan],
            }
        ),
        history=history,
        answers=answers,
        classes=pd.DataFrame(
            [
                {"model": name, "class": label, "frames": 4, "accuracy": random.random()}
                for name in MODELS
                for label in CLASSES
            ]
        ),
        calibration=pd.DataFrame(
            {
                "model": np.repeat(MODELS, 2),
                "confidence": [0.4, 0.9] * 5,
                "accuracy": random.random(10),
                "frames": [1, 11] * 5,
            }
        ),
        comparisons=pd.DataFrame(
            [
                comparison("paper", "baseline", -0.4, -0.5, -0.3),
                comparison("warm_start", "resize", 0.15, 0.05, 0.25),
                comparison("warm_start", "resize_retrained", 0.05, -0.05, 0.15),
            ]
        ),
        curve=pd.DataFrame(
            [
                {"side": side, **entry(accuracy, 0, gigaflops, side)}
                for side, accuracy, gigaflops in ((56, 0.4, 0.1), (108, 0.6, 0.2), (224, 0.9, 0.8))
            ]
        ),
        architectures={
            name: [
                Block("frame", "RGB", 224, 0, False),
                Block("Conv2D", "3 filters", 218, stem.PARAMETERS, True),
                Block("frozen network", "lite", None, 3_000_000, False),
            ]
            for name in ("paper", "warm_start")
        },
        kernels={
            "paper": {"learned": start},
            "warm_start": {"start": start, "learned": start, "learned less start": start},
        },
        examples=[
            Example(
                f"{label}/1",
                label,
                {
                    "stored": picture,
                    "resize": picture,
                    "paper": np.zeros_like(picture),
                    "warm_start": picture,
                },
                dict.fromkeys(MODELS, LONG),
            )
            for label in CLASSES
        ],
    )
