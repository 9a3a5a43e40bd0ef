"""The features that heads are trained on, as the settings have it: cached, or computed live."""

import pickle
from functools import lru_cache, partial

import keras
import numpy as np

from stemtune.core.params import Params
from stemtune.core.paths import AUGMENTED, EMBEDDINGS, MANIFEST
from stemtune.core.settings.frames import EmbedFrames
from stemtune.networks import backbones
from stemtune.store import manifest
from stemtune.training import dataset
from stemtune.training.dataset import Labelled, Load, Splits


def load(
    settings: Params, embed: EmbedFrames, side: int, views: int, network: keras.Model | None = None
) -> Splits:
    """Returns the features of all frames at a side.

    Args:
        settings: The content of params.yaml; with `train_best.head.cached_features` false, train
            frames are embedded live.
        embed: Says which backbones.
        side: Of the frames that the backbone sees, px.
        views: Augmented copies of train frames: all of them if cached, or one in each epoch.
        network: From `backbones.build_all`, for live features; None: it is built.
    """
    cached = settings.train_best.head.cached_features
    used, frames = embed.backbones, manifest.frame_table(manifest.read(MANIFEST))
    parts = [frames[frames["split"] == split] for split in manifest.SPLITS]
    train, validation, test = (
        dataset.load_features(EMBEDDINGS, used, side, part) for part in parts
    )
    if views > 1 and cached:
        copies = dataset.load_features(AUGMENTED, used, side, parts[0])
        train = Labelled(*map(np.concatenate, zip(train, copies, strict=True)))
    data = Splits(train, validation, test)
    if cached:
        return data
    if network is None:
        network = backbones.build_all(embed, settings.runtime.seed)
    size = settings.extract_frames.size
    embedder = partial(backbones.embedder, network, size=size, side=side)
    return dataset.embedded_live(data, embedder, settings, views)


def once(load: Load) -> Splits:
    """Returns what a function loads, which a process that trains on it several times keeps."""
    return _loaded(pickle.dumps(load))


@lru_cache(maxsize=1)
def _loaded(load: bytes) -> Splits:
    return pickle.loads(load)()  # noqa: S301
