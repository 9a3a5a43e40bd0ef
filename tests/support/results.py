"""Results such as evaluate finds, small and made up, with names that a page could trip over."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from stemtune.evaluation import comparison
from stemtune.evaluation.comparison import ModelMetrics
from stemtune.evaluation.metrics import per_class
from stemtune.report.page import STEMS_SHOWN, Results
from stemtune.report.pictures import Example

EVIL = "<script>console.error(1)</script> $x$"
LONG = "a_class_whose_name_goes_on_and_on_and_says_hardly_anything"
# The last is in a script of wide letters, which the font of the figures lacks.
CLASSES = [EVIL, LONG, "動画の分類"]


def entry(accuracy: float, trained: int, gigaflops: float, side: int) -> ModelMetrics:
    return ModelMetrics(
        stem_params=528 if trained == 528 else None,
        test_accuracy=accuracy,
        test_accuracy_low=accuracy - 0.1,
        test_accuracy_high=accuracy + 0.05,
        clip_accuracy=accuracy,
        validation_accuracy=accuracy,
        validation_loss=1 - accuracy,
        calibration_error=0.125,
        trainable_params=trained,
        total_params=3_000_000,
        flops_per_frame=round(gigaflops * 1e9),
        input_size=side,
    )


COMPARED = comparison.of(
    {
        "baseline": entry(0.9, 1000, 0.8, 224),
        "resize_108": entry(0.6, 0, 0.2, 108),
        "retrained_108": entry(0.7, 1000, 0.2, 108),
        "retrained_118": entry(0.65, 1000, 0.3, 118),
        "as_published": entry(0.5, 528, 0.3, 224),
        "warm_start": entry(0.75, 528, 0.3, 224),
    }
)
MODELS = [*COMPARED.models]
CONTROLS = MODELS[:-2]


def candidates() -> pd.DataFrame:
    """Returns candidates as `recommending.Choice.table` does."""
    rows = [
        ("baseline_float32 on 4 frames", "baseline", "float32", 36.0, 0.95),
        ("retrained_108_int8 on 1 frame", "retrained", "int8", 2.0, 0.93),
        ("as_published_float32 on 4 frames", "stem", "float32", 18.0, 0.4),
        ("retrained_108_to_baseline_int8 on 1 frame", "cascade", "int8", 3.0, 0.94),
    ]
    return pd.DataFrame(
        {
            "candidate": name,
            "kind": kind,
            "model": name.partition("_")[0],
            "precision": precision,
            "frames": int(name.split()[-2]),
            "milliseconds": price,
            "worst_milliseconds": 2 * price,
            "megabytes": 4.0,
            "peak_mib": None if kind == "cascade" else 60.0,
            "clip_accuracy": accuracy,
            "clip_accuracy_low": accuracy - 0.1,
            "clip_accuracy_high": min(accuracy + 0.05, 1),
            "difference": accuracy - 0.95,
            "difference_low": accuracy - 1,
            "difference_high": accuracy - 0.9,
            "on_front": kind != "stem",
            "is_chosen": kind == "retrained",
            "is_reference": kind == "baseline",
            "as_in_paper": kind in ("baseline", "stem"),
            "file": f"{name.split()[0]}.tflite",
        }
        for name, kind, precision, price, accuracy in rows
    )


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
            "model": np.repeat(["baseline", "as_published", "warm_start"], 2),
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
        compared=COMPARED,
        rows=comparison.rows(COMPARED),
        recommendation="Use retrained_108_int8 on 1 frame at 2 ms per clip.",
        warnings=["These may be no better than guessing."],
        candidates=candidates(),
        milliseconds={"baseline": 9.0, "retrained_108": 2.125, "as_published": 4.5},
        clips=manifest_of(frames),
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
        advice="0.01 is the largest learning rate tried",
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
                "confidence": [0.4, 0.9] * len(MODELS),
                "accuracy": random.random(2 * len(MODELS)),
                "frames": [1, 11] * len(MODELS),
            }
        ),
        kernels={
            "as_published": {"learned": start},
            "warm_start": {"start": start, "learned": start, "learned less start": start},
        },
        examples=[
            Example(
                label,
                {
                    "stored": picture,
                    "resize_108": picture,
                    "as_published": np.zeros_like(picture),
                    "warm_start": picture,
                },
                dict.fromkeys(MODELS, LONG),
            )
            for label in CLASSES
        ],
    )


def manifest_of(frames: pd.DataFrame) -> pd.DataFrame:
    """Returns the manifest of a frame table; the first two groups were found by footage."""
    clips = frames.drop_duplicates("clip")[["clip", "class", "group"]]
    by = clips["group"].isin(clips["group"].unique()[:2]).map({True: "footage", False: "name"})
    return clips.assign(grouped_by=by, quarantined="")


def large(
    classes: int, stems: int, side: int, named: str = "a class with a long name, number "
) -> Results:
    """Returns results on many classes, named by number, of many stems, on frames of noise."""
    random = np.random.default_rng(7)
    names = [f"{named}{number:04}" for number in range(classes)]
    variants = [f"variant_{number:03}" for number in range(stems)]
    compared, frames = [*CONTROLS, *variants], 4 * classes
    actual = np.repeat(names, 4)
    tested = pd.DataFrame({"clip": actual, "group": actual, "class": actual, "split": "test"})
    answers = {}
    for name in compared:
        predicted = np.where(random.random(frames) < 0.6, actual, random.choice(names, frames))
        answers[name] = pd.DataFrame({"actual": actual, "predicted": predicted})
    # One that stands out, so that it has to be named first.
    for table in answers.values():
        table.loc[:3, "predicted"] = names[-1]
    kernels = [random.normal(size=(7, 7, 3, 3)), random.normal(size=(3, 3, 3, 3))]
    by_variant = {name: entry(random.random(), 528, 0.3, 224) for name in variants}
    compared_models = COMPARED.model_copy(update={"stem": by_variant})
    shown = comparison.ranked(by_variant)[:STEMS_SHOWN]
    return dataclasses.replace(
        make(),
        compared=compared_models,
        rows=comparison.rows(compared_models),
        clips=manifest_of(tested),
        frames=tested,
        history=_history(["baseline", *variants], random),
        answers=answers,
        classes=pd.concat(
            [per_class(table).assign(model=name) for name, table in answers.items()],
            ignore_index=True,
        ),
        calibration=pd.DataFrame(
            [
                {"model": name, "confidence": place / 15, "accuracy": random.random(), "frames": 9}
                for name in compared
                for place in range(1, 16)
            ]
        ),
        kernels={
            name: dict.fromkeys(("start", "learned", "learned less start"), kernels)
            for name in shown
        },
        examples=[
            Example(
                label,
                {"stored": _noise(side, random), "resize_108": _noise(side // 2, random)}
                | {name: _noise(side // 2, random) for name in shown},
                dict.fromkeys(compared, names[0]),
            )
            for label in names[:4]
        ],
    )


ODD_CLIPS = ['<b>&"x".mp4', "a b#c?d%41.mp4", "näh \u202e–中.mkv", "javascript:alert(1)", "'"]


def answered(clips: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Returns a frame table of test clips of six frames, and what two models answer on it.

    Each model is right on two fifths of the clips; both miss the first ones, whose names are odd.
    """
    random, frames = np.random.default_rng(11), 6
    names = [*ODD_CLIPS, *(f"clip {number}.mp4" for number in range(clips))][:clips]
    labels = random.integers(0, len(CLASSES), clips).repeat(frames)
    table = pd.DataFrame(
        {
            "clip": np.repeat([f"{place % 7}/{name}" for place, name in enumerate(names)], frames),
            "class": [CLASSES[label] for label in labels],
            "label": labels,
            "shard": np.arange(clips).repeat(frames).astype(str),
            "index": list(range(frames)) * clips,
        }
    )
    models = []
    for _ in range(2):
        past = random.choice([0, 1, 2], clips, p=[0.4, 0.3, 0.3])
        past[: len(ODD_CLIPS)] = 1
        scores = np.eye(len(CLASSES))[(labels + past.repeat(frames)) % len(CLASSES)]
        scores += random.random((clips, len(CLASSES))).repeat(frames, axis=0)
        models.append(scores / scores.sum(axis=1, keepdims=True))
    return table, models[0], models[1]


def footage(shard: str, index: int) -> np.ndarray:
    """Returns a frame of 224 px that compresses no better than footage does."""
    return _noise(224, np.random.default_rng(int(shard) * 10 + index))


def _history(models: Sequence[str], random: np.random.Generator) -> pd.DataFrame:
    metrics = [
        f"{split}_{name}" for split in ("train", "validation") for name in ("accuracy", "loss")
    ]
    rows = 5 * len(models)
    columns = {"model": np.repeat(models, 5), "epoch": [1, 2, 3, 4, 5] * len(models)}
    return pd.DataFrame(columns | {metric: random.random(rows) for metric in metrics})


def _noise(side: int, random: np.random.Generator) -> np.ndarray:
    """Returns a picture that compresses no better than footage does."""
    return random.integers(0, 8, (side, side, 3), np.uint8) * 36
