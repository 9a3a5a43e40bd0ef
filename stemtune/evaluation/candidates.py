"""The candidates that evaluate compares: each with its answers and its cost. Nothing is trained."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

from stemtune.core.params import Params
from stemtune.core.paths import BASELINE, EMBEDDINGS, FRAMES, MANIFEST, RETRAINED, STEMS
from stemtune.engine.engine import Engine
from stemtune.evaluation import comparison, metrics
from stemtune.evaluation.comparison import ModelMetrics
from stemtune.networks import classifier, cost, stem
from stemtune.networks.classifier import Classifier
from stemtune.store import manifest
from stemtune.training import dataset, heads
from stemtune.training.dataset import FrameBatches

# Those on which each answers.
SPLITS = (manifest.VALIDATION, manifest.TEST)


@dataclass(frozen=True)
class Candidate:
    """A model in the comparison.

    Attributes:
        name: As in `Comparison.models`.
        backbones: Their names.
        classifier: The model.
        side: Of the frames that it takes, px.
        trained: How many parameters were trained for it.
        probabilities: Of validation and of test, (frames, classes), in [0, 1].
    """

    name: str
    backbones: Sequence[str]
    classifier: Classifier
    side: int
    trained: int
    probabilities: Mapping[str, np.ndarray]

    @property
    def graph(self) -> tuple[str, int]:
        """Equal for candidates that differ in their head alone: they cost the same."""
        before = "stem before " if self.classifier.stem else ""
        return before + " ".join(self.backbones), self.side

    def flops(self) -> int:
        """Returns its FLOPs for one frame, on the graph that runs."""
        return cost.flops(self.classifier.model, self.side)


def load(settings: Params, frames: pd.DataFrame, engine: Engine) -> Iterator[Candidate]:
    """Yields the baseline, it on small frames, a new head for each side, and stems.

    Args:
        settings: The content of params.yaml.
        frames: The frame table.
        engine: Where stems answer.
    """
    baseline, own = classifier.load(BASELINE), settings.embed_frames.backbones
    small = settings.small_side

    def on_features(
        name: str, model: Classifier, side: int, trained: int, used: list[str] = own
    ) -> Candidate:
        answers = {}
        for split in SPLITS:
            rows = frames[frames["split"] == split]
            features = dataset.load_features(EMBEDDINGS, used, side, rows).features
            answers[split] = heads.predict(model.head, features)
        return Candidate(name, used, model, side, trained, answers)

    full = settings.extract_frames.size
    yield on_features(comparison.BASELINE, baseline, full, baseline.head.count_params())
    yield on_features(comparison.named(comparison.RESIZE, small), baseline, small, 0)
    for key, embed, side in settings.retrained:
        model = classifier.load(RETRAINED / key)
        if embed.backbones == own:
            model = replace(model, backbone=baseline.backbone)
        name, trained = comparison.named(comparison.RETRAINED, key), model.head.count_params()
        yield on_features(name, model, side, trained, embed.backbones)
    asked = [(variant, split) for variant in settings.add_stem.variants for split in SPLITS]
    answered = engine.map(partial(_stem_answers, settings), asked)
    for variant in settings.add_stem.variants:
        answers = {split: next(answered) for split in SPLITS}
        model = classifier.load(STEMS / variant)
        yield Candidate(variant, own, model, full, stem.PARAMETERS, answers)


def _stem_answers(settings: Params, asked: tuple[str, str]) -> np.ndarray:
    """Returns the probabilities (frames, classes) that a variant gives for a split."""
    variant, split = asked
    frames = manifest.frame_table(manifest.read(MANIFEST))
    batches = FrameBatches(
        FRAMES,
        frames[frames["split"] == split],
        settings.extract_frames.size,
        settings.add_stem.batch_size,
        seed=None,
    )
    predict = classifier.load(STEMS / variant).predictor()
    return np.concatenate([predict(batches[number][0]) for number in range(batches.num_batches)])


def measure(
    candidate: Candidate, frames: pd.DataFrame, samples: int, seed: int, flops: int
) -> ModelMetrics:
    """Returns what metrics/evaluate.json holds of a candidate.

    Args:
        candidate: With its answers.
        frames: The frame table.
        samples: As `metrics.scores` takes it.
        seed: As `metrics.scores` takes it.
        flops: FLOPs for one frame.
    """
    by_split = {split: frames[frames["split"] == split].reset_index(drop=True) for split in SPLITS}
    test, validation = manifest.TEST, manifest.VALIDATION
    answers = candidate.probabilities
    found = metrics.scores(answers[test], by_split[test], samples, seed)
    found |= metrics.validation_scores(answers[validation], by_split[validation])
    return ModelMetrics(
        **found,
        trainable_params=candidate.trained,
        stem_params=stem.PARAMETERS if candidate.classifier.stem else None,
        total_params=candidate.classifier.model.count_params(),
        flops_per_frame=flops,
        input_size=candidate.side,
    )
