"""A variant of the stem: trained before the baseline's head, before a new one, or along with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import keras
import pandas as pd

from stemtune.core.params import Params
from stemtune.core.paths import EMBEDDINGS, FRAMES, UNFINISHED_SEARCH
from stemtune.core.results import by_loss
from stemtune.core.settings.training import Attempt, Variant
from stemtune.engine.engine import Engine
from stemtune.networks import stem
from stemtune.networks.classifier import Classifier, save_network
from stemtune.store import manifest
from stemtune.training import dataset, retrained_heads, stem_search, stem_training
from stemtune.training.search import Elsewhere
from stemtune.training.stem_search import StemData, StoredStem, Watch
from stemtune.training.stem_training import StemTraining
from stemtune.training.trials import Trial


@dataclass(frozen=True)
class TrainedVariant:
    """What the training of a variant came to.

    Attributes:
        classifier: Stem, backbone and head.
        training: Of the stem, and of the head where both train together; the one that is kept.
        metrics: On training and validation data, of the classifier.
        notes: What people should know of it, in words.
    """

    classifier: Classifier
    training: StemTraining
    metrics: Mapping[str, float]
    notes: Sequence[str]


class WithHead(NamedTuple):
    """A head that was trained anew behind a stem, and the trial that it is of."""

    head: keras.Model
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
        attempts: To train the stem. Each is gone through to its end, a new head included; what
            validates best then is kept.
        watch: Follows each of them.
        on_trial: Follows the search of a new head, as `search.search` takes it.
        engine: Where the stem is trained, if several times, and a new head on live features.
    """
    add_stem = settings.add_stem
    chosen = add_stem.variants[variant]
    heads = _HeadSearch(f"add_stem@{variant}", table, settings, on_trial, engine)
    start = _untrained_stem(chosen, add_stem.downscale, settings.runtime.seed)
    classifier = replace(baseline, name=variant, stem=start)
    joint = chosen.head == "joint"
    if joint:
        first = heads.behind(classifier, "head")
        classifier = replace(classifier, head=first.head)
    trained = stem_training.trained_variables(classifier, joint)
    data, epochs = _data(baseline, variant, table, settings), chosen.epochs or add_stem.epochs
    stored = UNFINISHED_SEARCH / heads.title / "stem"
    stems = [StoredStem(stored, data, chosen, each, epochs, heads.title) for each in attempts]
    trainings = stem_search.train_all(classifier, stems, watch, engine)
    tried = dict(zip(attempts, trainings, strict=True))
    if chosen.head == "frozen":
        best = min(attempts, key=lambda each: by_loss(tried[each]))
        metrics = tried[best].metrics
    else:
        # A head that was trained along goes on from where it is, unless that validates best.
        name, start_head = ("head again", classifier.head) if joint else ("head", None)
        finished = {}
        for each in attempts:
            stem_training.assign(trained, tried[each].weights)
            finished[each] = heads.behind(classifier, f"{name} {each}", start_head)
        best = min(attempts, key=lambda each: by_loss(finished[each].trial))
        metrics = finished[best].trial.metrics
        stem_training.assign(trained, tried[best].weights)
        classifier = replace(classifier, head=finished[best].head)
    notes = stem_search.notes(tried, best, f"add_stem.variants.{variant}")
    return TrainedVariant(classifier, tried[best], metrics, notes)


def _untrained_stem(chosen: Variant, downscale: int, seed: int) -> keras.Model:
    """Returns the stem of a variant as it starts; see `stem.build`."""
    first, second = chosen.kernels
    pads = chosen.padding == "same"
    return stem.build(chosen.start, downscale, seed, (first, second), pads)


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
        """Returns a new head for a classifier, or `start`, which stays if none validates better.

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
        return WithHead(found.head, found.trial)

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
        chosen.views,
        teacher,
    )
