"""Features of frames behind a stem, for a head that is trained from scratch there."""

import numpy as np
import pandas as pd
import tensorflow as tf

from stemtune.core import views
from stemtune.core.params import Params
from stemtune.core.paths import FRAMES
from stemtune.networks.classifier import Classifier
from stemtune.store import manifest
from stemtune.training import live_features
from stemtune.training.dataset import FrameBatches, Labelled, Splits, labels_of


def features(classifier: Classifier, table: pd.DataFrame, settings: Params) -> Splits:
    """Returns the features of train and validation frames behind a classifier's stem.

    Train frames are embedded in all augmented copies that `add_stem.retrained_head` asks for, or
    live if features are not cached.

    Args:
        classifier: With a stem.
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
        batches = FrameBatches(FRAMES, rows, size, batch_size, seed=None)
        shown = (batches[batch][0] for batch in range(batches.num_batches))
        embedded = [[embed(views.view(batch, one)) for one in range(number)] for batch in shown]
        by_view = zip(*embedded, strict=True)
        found = np.concatenate([part for of_view in by_view for part in of_view])
        return Labelled(found, np.tile(labels_of(rows), number))

    number = settings.add_stem.retrained_head.views
    live = not settings.train_best.head.cached_features
    train = of_split(manifest.TRAIN, 1 if live else number)
    validation = of_split(manifest.VALIDATION)
    nothing = Labelled(validation.features[:0], validation.labels[:0])
    data = Splits(train, validation, nothing)
    if live:
        return live_features.attach(data, lambda _: embed, FRAMES, table, size, number)
    return data
