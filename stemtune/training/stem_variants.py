"""A variant of the stem: trained before the baseline's head, before a new one, or along with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import keras
import pandas as pd

from stemtune.core.params import Params
from stemtune.core.paths import EMBEDDINGS, FRAMES, UNFINISHED_SEARCH
from stemtune.core.settings.training import Attempt, Padding
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
    chosen = settings.add_stem.variants[variant]
    heads = _HeadSearch(f"add_stem@{variant}", table, settings, on_trial, engine)
    data = _data(baseline, variant, table, settings)
    tried: dict[Attempt, StemTraining] = {}
    classifiers: dict[Attempt, Classifier] = {}
    for padding in chosen.paddings:
        classifier = _untrained(baseline, variant, padding, settings)
        if chosen.head == "joint":
            name = "head" if len(chosen.paddings) == 1 else f"head, {padding}"
            classifier, _ = heads.behind(classifier, name)
        alike = [attempt for attempt in attempts if attempt.padding in (None, padding)]
        epochs = chosen.epochs or settings.add_stem.epochs
        stored = UNFINISHED_SEARCH / heads.title / padding
        stems = [StoredStem(stored, data, chosen, each, epochs, heads.title) for each in alike]
        trainings = stem_search.train_all(classifier, stems, watch, engine)
        tried |= zip(alike, trainings, strict=True)
        classifiers |= dict.fromkeys(alike, classifier)
    best = stem_search.best(list(tried.values()))
    classifier = next(classifiers[each] for each, training in tried.items() if training is best)
    metrics = best.metrics
    if chosen.head != "frozen":
        # The one that was trained along goes on from where it is, unless that validates best.
        joint = chosen.head == "joint"
        name, start = ("head again", classifier.head) if joint else ("head", None)
        classifier, trial = heads.behind(classifier, name, start)
        metrics = trial.metrics
    notes = stem_search.notes(tried, f"add_stem.variants.{variant}")
    return TrainedVariant(classifier, best, metrics, notes)


def _untrained(
    baseline: Classifier, variant: str, padding: Padding, settings: Params
) -> Classifier:
    """Returns the baseline behind a stem as it starts."""
    add_stem = settings.add_stem
    start, seed = add_stem.variants[variant].start, settings.runtime.seed
    built = stem.build(start, add_stem.downscale, seed, pads=padding == "same")
    return replace(baseline, name=variant, stem=built)


@dataclass(frozen=True)
class _HeadSearch:
    """Trains heads anew behind stems of a variant."""

    title: str
    table: pd.DataFrame
    settings: Params
    on_trial: Callable[[Trial], None]
    engine: Engine

    def behind(
        self, classifier: Classifier, name: str, start: keras.Model | None = None
    ) -> WithHead:
        """Returns a classifier with a new head, or `start`, which stays if none validates better.

        Args:
            classifier: With a stem.
            name: Of the search, unlike that of the variant's others.
            start: A trained head to go on from; None: new ones.
        """

        def told(trial: Trial) -> None:
            self.on_trial(trial.model_copy(update={"name": f"{name}, {trial.name}"}))

        data = retrained_heads.features_behind(classifier, FRAMES, self.table, self.settings)
        classes = len(manifest.classes(self.table))
        elsewhere, title = self._elsewhere(classifier, name), f"{self.title}: {name}"
        found = retrained_heads.train(data, classes, self.settings, title, told, start, elsewhere)
        return WithHead(replace(classifier, head=found.head), found.trial)

    def _elsewhere(self, classifier: Classifier, name: str) -> Elsewhere:
        """Returns where a head may be searched behind a classifier, which is stored for that."""
        stored = UNFINISHED_SEARCH / f"{self.title}, {name}"
        if self.engine.spreads:
            save_network(classifier, stored)
        load = partial(
            retrained_heads.features_behind_stored, stored, FRAMES, self.table, self.settings
        )
        return Elsewhere(self.engine, load)


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
