"""The candidates that evaluate compares: each with its answers and its cost. Nothing is trained."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stemtune.core.params import Params
from stemtune.core.paths import BASELINE, EMBEDDINGS, FRAMES, RESIZED, RETRAINED, STEMS
from stemtune.evaluation import comparison, metrics
from stemtune.evaluation.comparison import ModelMetrics
from stemtune.networks import classifier, cost, stem
from stemtune.networks.classifier import Classifier, Predict
from stemtune.store import embeddings, manifest
from stemtune.training import dataset, heads
from stemtune.training.dataset import FrameBatches


@dataclass(frozen=True)
class Candidate:
    """A model in the comparison.

    Attributes:
        name: As in `Comparison.models`.
        classifier: The model.
        side: Of the frames that it takes, px.
        trained: How many parameters were trained for it.
        probabilities: By split, (frames, classes), in [0, 1]; test, and validation if it has any.
    """

    name: str
    classifier: Classifier
    side: int
    trained: int
    probabilities: Mapping[str, np.ndarray]

    @property
    def graph(self) -> tuple[str, int]:
        """What decides about its operations and time: its stem, if it has one, and the side."""
        return self.name if self.classifier.stem else "", self.side

    def cost(self) -> dict[str, Any]:
        """Returns its parameters and operations, by names of `ModelMetrics`."""
        has_stem = self.classifier.stem is not None
        return {
            "trainable_params": self.trained,
            "stem_params": stem.PARAMETERS if has_stem else None,
            "total_params": self.classifier.model.count_params(),
            "input_size": self.side,
        }

    def predictor(self, size: int) -> Predict:
        """Returns its function from stored frames of side `size` to probabilities."""
        return self.classifier.predictor(None if self.side == size else self.side)


def load(settings: Params, table: pd.DataFrame) -> Iterator[Candidate]:
    """Yields baseline, resized, retrained and stems, with their answers.

    Args:
        settings: The content of params.yaml.
        table: The manifest.
    """
    baseline, used = classifier.load(BASELINE), settings.embed_frames.backbones
    frames, trained_at = manifest.frame_table(table), settings.trained_side
    parameters = baseline.head.count_params()

    def on_features(name: str, model: Classifier, side: int, trained: int) -> Candidate:
        known = embeddings.sides(EMBEDDINGS, used)
        home = EMBEDDINGS if side in known else RESIZED
        splits = (manifest.VALIDATION, manifest.TEST) if side in known else (manifest.TEST,)
        rows = {split: frames[frames["split"] == split] for split in splits}
        answers = {
            split: heads.predict(model.head, dataset.load_features(home, used, side, part).features)
            for split, part in rows.items()
        }
        return Candidate(name, model, side, trained, answers)

    yield on_features(comparison.BASELINE, baseline, trained_at, parameters)
    sides = {*embeddings.sides(EMBEDDINGS, used), *embeddings.sides(RESIZED, used)}
    for side in sorted(sides - {trained_at} | {settings.small_side}):
        yield on_features(comparison.named(comparison.RESIZE, side), baseline, side, 0)
    for folder in retrained_folders():
        model, side = classifier.load(folder), int(folder.name)
        model = replace(model, backbone=baseline.backbone)
        yield on_features(comparison.named(comparison.RETRAINED, side), model, side, parameters)
    yield from _stems(settings, frames)


def retrained_folders() -> list[Path]:
    """Returns the folders of `models/retrained/`, by rising side."""
    return sorted((path for path in RETRAINED.iterdir() if path.name.isdigit()), key=_side)


def measure(
    candidate: Candidate, frames: pd.DataFrame, samples: int, seed: int, flops: int
) -> ModelMetrics:
    """Returns what metrics/evaluate.json holds of a candidate.

    Args:
        candidate: With its answers.
        frames: The frame table.
        samples: As `metrics.scores` takes it.
        seed: As `metrics.scores` takes it.
        flops: Operations for one frame.
    """
    rows = {
        split: frames[frames["split"] == split].reset_index(drop=True)
        for split in candidate.probabilities
    }
    answers = candidate.probabilities
    found: dict[str, Any] = metrics.scores(
        answers[manifest.TEST], rows[manifest.TEST], samples, seed
    )
    if manifest.VALIDATION in answers:
        validated = answers[manifest.VALIDATION], rows[manifest.VALIDATION]
        found |= metrics.validation_scores(*validated)
    return ModelMetrics(**found, **candidate.cost(), flops_per_frame=flops)


def flops(candidate: Candidate) -> int:
    """Returns a candidate's operations for one frame, on the graph that runs."""
    return cost.flops(candidate.classifier.model, candidate.side)


def milliseconds(candidate: Candidate, size: int) -> float:
    """Measures a candidate's time for a stored frame of side `size`."""
    return cost.milliseconds_per_frame(candidate.predictor(size), size)


def _stems(settings: Params, frames: pd.DataFrame) -> Iterator[Candidate]:
    size, batch_size = settings.extract_frames.size, settings.add_stem.batch_size
    for variant, chosen in settings.add_stem.variants.items():
        model = classifier.load(STEMS / variant)
        predict = model.predictor()
        answers = {}
        for split in (manifest.VALIDATION, manifest.TEST):
            rows = frames[frames["split"] == split]
            batches = FrameBatches(FRAMES, rows, size, batch_size, seed=None)
            parts = [predict(batches[number][0]) for number in range(batches.num_batches)]
            answers[split] = np.concatenate(parts)
        head = 0 if chosen.head == "frozen" else model.head.count_params()
        yield Candidate(variant, model, size, stem.PARAMETERS + head, answers)


def _side(folder: Path) -> int:
    return int(folder.name)
