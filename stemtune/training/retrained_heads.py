"""Heads that are trained anew: on resized frames, or behind a stem. All are searched alike.

A head that was trained on full frames knows nothing of smaller ones. So each of these tries several
rates, for more epochs, and keeps the rate and the epoch that validate best, by loss.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from stemtune.core import views
from stemtune.core.params import Params
from stemtune.core.paths import UNFINISHED_SEARCH
from stemtune.core.results import by_loss
from stemtune.core.settings.training import TuneLr
from stemtune.networks.classifier import Classifier, load
from stemtune.store import manifest
from stemtune.training import heads, live_features, search
from stemtune.training.dataset import FrameBatches, Labelled, Splits, labels_of
from stemtune.training.trials import Trial


@dataclass(frozen=True)
class RetrainedHead:
    """A head that was trained anew.

    Attributes:
        head: Without dropout.
        trial: Which it is of.
    """

    head: keras.Model
    trial: Trial


def train(
    data: Splits,
    classes: int,
    settings: Params,
    title: str,
    on_progress: Callable[[Trial], None] = lambda trial: None,
    start: keras.Model | None = None,
    elsewhere: search.Elsewhere | None = None,
) -> RetrainedHead:
    """Searches a head for features, and returns the one that validates best.

    Args:
        data: Features and labels; test is left alone.
        classes: How many there are.
        settings: The content of params.yaml.
        title: Of the search, for the terminal.
        on_progress: As `search.search` takes it.
        start: A trained head to go on from, which stays if none validates better; None: new ones.
        elsewhere: As `search.search` takes it.
    """
    chosen, seed = settings.add_stem.retrained_head, settings.runtime.seed
    each_rate_once = TuneLr(
        tuner="grid",
        learning_rates=chosen.learning_rates,
        max_trials=None,
        hyperband_factor=2,
        seeds=[seed],
        epochs=chosen.epochs,
        batch_size=settings.train_best.batch_size,
    )
    found = search.search(
        data,
        classes,
        each_rate_once,
        settings.train_best.head,
        settings.runtime,
        UNFINISHED_SEARCH,
        title,
        on_progress,
        keep_best=True,
        start=None if start is None else start.get_weights(),
        elsewhere=elsewhere,
    )
    best = min((trial for trial, _ in found), key=by_loss)
    [trained] = next(trained for trial, trained in found if trial is best)
    # As it was built: what is loaded has an optimizer that a stored model would tell of.
    head = heads.build(data.train.features.shape[1], classes, settings.train_best.head, seed)
    head.set_weights(trained.get_weights())
    return RetrainedHead(heads.without_dropout(head), best)


def features_behind(
    classifier: Classifier, folder: Path, table: pd.DataFrame, settings: Params
) -> Splits:
    """Returns what a head behind a stem is given, of the train and validation frames.

    Where new heads learn from more views of frames, those of the train frames are among them.

    Args:
        classifier: Whose stem and backbone the frames go through.
        folder: The frame store.
        table: The manifest.
        settings: The content of params.yaml.

    Returns:
        Features and labels; test has none, since nothing that is trained may look at it.
    """
    size, batch_size = settings.extract_frames.size, settings.add_stem.batch_size
    compiled = tf.function(classifier.features, reduce_retracing=True)
    frames = manifest.frame_table(table)

    def embed(batch: np.ndarray) -> np.ndarray:
        return compiled(batch).numpy()

    def of_split(split: str, number: int = 1) -> Labelled:
        rows = frames[frames["split"] == split]
        batches = FrameBatches(folder, rows, size, batch_size, seed=None)
        shown = (batches[batch][0] for batch in range(batches.num_batches))
        embedded = [[embed(views.view(batch, one)) for one in range(number)] for batch in shown]
        by_view = zip(*embedded, strict=True)
        features = np.concatenate([part for of_view in by_view for part in of_view])
        return Labelled(features, np.tile(labels_of(rows), number))

    number = settings.add_stem.retrained_head.views
    live = not settings.train_best.head.cached_features
    train = of_split(manifest.TRAIN, 1 if live else number)
    validation = of_split(manifest.VALIDATION)
    nothing = Labelled(validation.features[:0], validation.labels[:0])
    data = Splits(train, validation, nothing)
    if live:
        return live_features.attach(data, lambda _: embed, folder, table, size, number)
    return data


def features_behind_stored(
    stored: Path, folder: Path, table: pd.DataFrame, settings: Params
) -> Splits:
    """Returns what `features_behind` does for the classifier that is stored in a folder."""
    return features_behind(load(stored), folder, table, settings)
