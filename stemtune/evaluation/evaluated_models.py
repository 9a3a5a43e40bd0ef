"""The models that evaluate compares: each with its answers on the test frames and its cost."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from stemtune.core.params import Params
from stemtune.core.paths import AUGMENTED, BASELINE, EMBEDDINGS, FRAMES, RESIZED, STEMS
from stemtune.core.results import Epoch
from stemtune.evaluation import comparison
from stemtune.networks import backbones, classifier, cost, stem
from stemtune.networks.classifier import Classifier
from stemtune.store import embeddings, manifest
from stemtune.training import dataset, heads, live_features, retrained_heads, trainer
from stemtune.training.dataset import FrameBatches, Splits


@dataclass(frozen=True)
class Cost:
    """What a classifier takes, as metrics/evaluate.json names it.

    Attributes:
        trainable_params: How many parameters were trained for it.
        stem_params: How many of them are the stem's; None without one.
        total_params: How many parameters it has.
        flops_per_frame: Floating-point operations for one frame.
        input_size: Side of the frames that it takes, px.
    """

    trainable_params: int
    stem_params: int | None
    total_params: int
    flops_per_frame: int
    input_size: int


@dataclass(frozen=True)
class EvaluatedModel:
    """One model in the comparison.

    Attributes:
        probabilities: (test frames, classes), in [0, 1].
        validation_accuracy: On validation frames, in [0, 1].
        predict: From stored frames (n, size, size, 3), uint8, to probabilities; what is timed.
        classifier: Which gave them.
        trained: How many parameters were trained for it.
        input_size: Side of the frames that the model takes, px.
        epochs: Of its training, where evaluate has trained it.
    """

    probabilities: np.ndarray
    validation_accuracy: float
    predict: classifier.Predict
    classifier: Classifier
    trained: int
    input_size: int
    epochs: Sequence[Epoch] = ()

    def cost(self) -> Cost:
        """Returns its parameters and operations."""
        model = self.classifier.model
        flops = cost.flops(model, self.input_size)
        stem_params = stem.PARAMETERS if self.classifier.stem else None
        return Cost(self.trained, stem_params, model.count_params(), flops, self.input_size)

    def milliseconds_per_frame(self, size: int) -> float:
        """Measures its time for a stored frame of side `size`."""
        return cost.milliseconds_per_frame(self.predict, size)


@dataclass(frozen=True)
class EvaluatedModels:
    """All models that evaluate looks at.

    Attributes:
        compared: By name: the controls, then the variants of the stem.
        resized: By side of frames, px, in rising order: what the baseline answers on test frames
            of that side, probabilities (test frames, classes).
    """

    compared: Mapping[str, EvaluatedModel]
    resized: Mapping[int, np.ndarray]

    @property
    def stems(self) -> dict[str, EvaluatedModel]:
        """Those with a stem, by variant."""
        return {
            name: model for name, model in self.compared.items() if name not in comparison.CONTROLS
        }


def load(settings: Params, table: pd.DataFrame) -> EvaluatedModels:
    """Loads baseline and stems, trains the controls' heads, and has all answer on the test frames.

    Args:
        settings: The content of params.yaml.
        table: The manifest.
    """
    baseline, stemmed = classifier.load(BASELINE), stems(settings, table)
    validated = {variant: model.validation_accuracy for variant, model in stemmed.items()}
    best = settings.add_stem.variants[comparison.best(validated)]
    equal = embeddings.read_equal_cost_side(EMBEDDINGS, best.kernels)
    return EvaluatedModels(
        controls(baseline, settings, table, equal) | stemmed,
        on_resized(baseline, settings, table),
    )


def controls(
    baseline: Classifier, settings: Params, table: pd.DataFrame, equal: int
) -> dict[str, EvaluatedModel]:
    """Returns the baseline, and what one would do without a stem, by the names of the controls.

    Args:
        baseline: Whose backbone all share.
        settings: The content of params.yaml.
        table: The manifest.
        equal: Side of the frames, px, that cost as much as the model of the stem that validates
            best.
    """
    size, small, trained = settings.extract_frames.size, settings.small_side, settings.trained_side
    known = {
        side: dataset.load_embedded(EMBEDDINGS, settings.embed_frames.backbones, side, table)
        for side in {trained, small, equal}
    }
    parameters = baseline.head.count_params()

    trained_heads = {
        side: _retrained(baseline, known[side], settings, table, side)
        for side in sorted({small, equal})
    }

    def retrained(name: str, side: int) -> EvaluatedModel:
        head = trained_heads[side]
        model = replace(baseline, name=name, head=head.head)
        return on_features(model, known[side], size, side, parameters, head.trial.history)

    return {
        "baseline": on_features(baseline, known[trained], size, trained, parameters),
        "resize": on_features(baseline, known[small], size, small, 0),
        **{
            name: retrained(name, side)
            for name, side in ((comparison.RETRAINED, small), (comparison.EQUAL_COST, equal))
        },
    }


def _retrained(
    baseline: Classifier, data: Splits, settings: Params, table: pd.DataFrame, side: int
) -> retrained_heads.RetrainedHead:
    """Trains a new head on the features of frames resized to `side`."""
    views, size = settings.add_stem.retrained_head.views, settings.extract_frames.size
    if not settings.train_best.head.cached_features:

        def embedder(batch: int) -> classifier.Predict:
            return backbones.embedder(baseline.backbone, batch, size, side)

        data = live_features.attach(data, embedder, FRAMES, table, size, views)
    elif views > 1:
        frames, used = manifest.frame_table(table), settings.embed_frames.backbones
        trained_on = frames[frames["split"] == manifest.TRAIN]
        data = data.with_more(dataset.load_features(AUGMENTED, used, side, trained_on))
    classes = len(manifest.classes(table))
    return retrained_heads.train(
        data, classes, settings, f"evaluate: {comparison.RETRAINED}, {side} px"
    )


def stems(settings: Params, table: pd.DataFrame) -> dict[str, EvaluatedModel]:
    """Returns the classifiers with a stem, by variant."""
    size, batch_size = settings.extract_frames.size, settings.add_stem.batch_size
    frames = manifest.frame_table(table)
    test, validation = (
        FrameBatches(FRAMES, frames[frames["split"] == split], size, batch_size, seed=None)
        for split in (manifest.TEST, manifest.VALIDATION)
    )
    found = {}
    for variant, chosen in settings.add_stem.variants.items():
        model = classifier.load(STEMS / variant)
        head = 0 if chosen.head == "frozen" else model.head.count_params()
        predict = model.predictor()
        found[variant] = EvaluatedModel(
            _answers(predict, test),
            _accuracy(_answers(predict, validation), validation.labels),
            predict,
            model,
            stem.PARAMETERS + head,
            size,
        )
    return found


def on_resized(
    baseline: Classifier, settings: Params, table: pd.DataFrame
) -> dict[int, np.ndarray]:
    """Returns what the baseline answers on test frames of each side that has features."""
    used = settings.embed_frames.backbones
    frames = manifest.frame_table(table)
    test = frames[frames["split"] == manifest.TEST]
    homes = dict.fromkeys(embeddings.sides(RESIZED, used), RESIZED)
    homes |= dict.fromkeys(embeddings.sides(EMBEDDINGS, used), EMBEDDINGS)
    return {
        side: heads.predict(
            baseline.head, dataset.load_features(homes[side], used, side, test).features
        )
        for side in sorted(homes)
    }


def on_features(
    model: Classifier,
    data: Splits,
    size: int,
    side: int,
    trained: int,
    epochs: Sequence[Epoch] = (),
) -> EvaluatedModel:
    """Returns a classifier without stem, judged by the features that its backbone gave before.

    Args:
        model: The classifier.
        data: Features of validation and test frames, seen at `side`.
        size: Side of the stored frames, px.
        side: To which they are resized before the model sees them, px.
        trained: How many parameters were trained for it.
        epochs: Of that training, if evaluate did it.
    """
    probabilities = heads.predict(model.head, data.test.features)
    validated = heads.accuracy(model.head, data.validation)
    predict = model.predictor(None if side == size else side)
    return EvaluatedModel(probabilities, validated, predict, model, trained, side, epochs)


def histories(variants: Collection[str]) -> pd.DataFrame:
    """Returns the training histories of baseline and stems as one table with a column `model`."""
    folders = {"baseline": BASELINE} | {variant: STEMS / variant for variant in variants}
    tables = [
        pd.read_csv(folder / trainer.HISTORY_FILE).assign(model=name)
        for name, folder in folders.items()
    ]
    return pd.concat(tables, ignore_index=True)


def _answers(predict: classifier.Predict, frames: FrameBatches) -> np.ndarray:
    batches = [predict(frames[number][0]) for number in range(frames.num_batches)]
    return np.concatenate(batches)


def _accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float((probabilities.argmax(axis=1) == labels).mean())
