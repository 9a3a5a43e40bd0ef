"""A variant of the stem: trained before the baseline's head, before a new one, or along with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import keras
import pandas as pd

from stemtune.core.params import Params
from stemtune.core.paths import EMBEDDINGS, FRAMES, UNFINISHED_SEARCH
from stemtune.core.settings.training import Attempt
from stemtune.engine.engine import Engine
from stemtune.networks import stem
from stemtune.networks.classifier import Classifier, save_network
from stemtune.store import manifest
from stemtune.training import dataset, retrained_heads, stem_search
from stemtune.training.search import Elsewhere
from stemtune.training.stem_search import StemData, StoredStem, Watch
from stemtune.training.stem_training import StemTraining
from stemtune.training.trials import Trial


@dataclass(frozen=True)
class TrainedVariant:
    """What the training of a variant came to.

    Attributes:
        classifier: Stem, backbone and head.
        training: Of the stem, and of the head where both train together, at the best rate.
        metrics: On training and validation data, of the classifier.
        notes: What people should know of it, in words.
    """

    classifier: Classifier
    training: StemTraining
    metrics: Mapping[str, float]
    notes: Sequence[str]


class WithHead(NamedTuple):
    """A classifier with a head that was trained anew, and the trial that the head is of."""

    classifier: Classifier
    trial: Trial


def train(
    baseline: Classifier,
    variant: str,
    table: pd.DataFrame,
    settings: Params,
    attempts: Sequence[Attempt],
    watch: Watch,
    on_trial: Callable[[Trial], None],
    engine: Engine,
) -> TrainedVariant:
    """Trains a variant.

    Args:
        baseline: Whose backbone, and head if that stays, the stem is put in front of.
        variant: A name in `add_stem.variants`.
        table: The manifest.
        settings: The content of params.yaml.
        attempts: To train the stem, the best of which is kept.
        watch: Follows each of them.
        on_trial: Follows the search of a new head, as `search.search` takes it.
        engine: Where the stem is trained, if several times, and a new head on live features.
    """
    add_stem, title = settings.add_stem, f"add_stem@{variant}"
    chosen = add_stem.variants[variant]

    def with_new_head(
        classifier: Classifier, name: str, start: keras.Model | None = None
    ) -> WithHead:
        def told(trial: Trial) -> None:
            on_trial(trial.model_copy(update={"name": f"{name}, {trial.name}"}))

        data = retrained_heads.features_behind(classifier, FRAMES, table, settings)
        classes = len(manifest.classes(table))
        elsewhere = _elsewhere(engine, classifier, f"{title}, {name}", table, settings)
        found = retrained_heads.train(
            data, classes, settings, f"{title}: {name}", told, start, elsewhere
        )
        return WithHead(replace(classifier, head=found.head), found.trial)

    start = stem.build(chosen.start, add_stem.downscale, settings.runtime.seed, chosen.pads)
    classifier = replace(baseline, name=variant, stem=start)
    joint = chosen.head == "joint"
    if joint:
        classifier, _ = with_new_head(classifier, "head")
    data, epochs = _data(baseline, variant, table, settings), chosen.epochs or add_stem.epochs
    stems = [
        StoredStem(UNFINISHED_SEARCH / title, data, chosen, attempt, epochs, title)
        for attempt in attempts
    ]
    trainings = stem_search.train_all(classifier, stems, watch, engine)
    best = stem_search.best(trainings)
    metrics = best.metrics
    if chosen.head != "frozen":
        # The one that was trained along goes on from where it is, unless that validates best.
        name, start = ("head again", classifier.head) if joint else ("head", None)
        classifier, trial = with_new_head(classifier, name, start)
        metrics = trial.metrics
    notes = stem_search.notes(attempts, trainings, f"add_stem.variants.{variant}")
    return TrainedVariant(classifier, best, metrics, notes)


def _elsewhere(
    engine: Engine, classifier: Classifier, name: str, table: pd.DataFrame, settings: Params
) -> Elsewhere:
    """Returns where a head behind a classifier's stem may be searched, which is stored for that."""
    stored = UNFINISHED_SEARCH / name
    if engine.spreads:
        save_network(classifier, stored)
    load = partial(retrained_heads.features_behind_stored, stored, FRAMES, table, settings)
    return Elsewhere(engine, load)


def _data(baseline: Classifier, variant: str, table: pd.DataFrame, settings: Params) -> StemData:
    """Returns what a variant is trained on: labels, or the probabilities that a teacher gives."""
    teacher, chosen = None, settings.add_stem.variants[variant]
    if chosen.objective != "labels":
        backbones, side = settings.embed_frames.backbones, settings.trained_side
        known = dataset.load_embedded(EMBEDDINGS, backbones, side, table)
        teacher = stem_search.teach(baseline.head, known)
    return StemData(
        FRAMES,
        manifest.frame_table(table),
        settings.extract_frames.size,
        settings.add_stem.batch_size,
        settings.runtime.seed,
        chosen.mirrors,
        teacher,
    )
