"""Small classifiers, on a random backbone that is quick."""

import keras

from stemtune.core.settings.training import Head
from stemtune.networks import backbones, stem
from stemtune.networks.classifier import Classifier
from stemtune.training import heads

SIDE = 72
CLASSES = ["a", "b", "c"]


def head_of(units: int | None = None, dropout: float = 0.0) -> Head:
    """Returns the settings of a head on cached features, by default the paper's."""
    return Head(units=units, dropout=dropout, augmentation="none", cached_features=True)


def small_backbone() -> keras.Model:
    keras.utils.set_random_seed(3)
    frames = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, 2, activation="relu")(frames)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.BatchNormalization()(x))
    network = keras.Model(frames, x, name="small")
    network.trainable = False
    return backbones.concatenate([network])


def tiny_classifier(with_stem: bool, stride: int = 2) -> Classifier:
    head = heads.build(4, 3, head_of(), seed=1)
    return Classifier(
        "tested", small_backbone(), head, stem.build(stride, 1) if with_stem else None
    )
