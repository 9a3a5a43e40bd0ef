"""The frozen ImageNet networks, through one registry: name → builder, scaling, weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stemtune.core.settings.frames import EmbedFrames
from stemtune.networks import efficientnet_lite, images, seeds, weights


@dataclass(frozen=True)
class Backbone:
    """A network from scaled frames to pooled features, and the scaling that it was trained with.

    Attributes:
        min_side: The smallest frames that it can see, px.
        build: From a weights file (None: random values) to the network.
        scale: From frames in [0, 1] (RGB, Keras tensor) to the network's own input values.
    """

    min_side: int
    build: Callable[[Path | None], keras.Model]
    scale: Callable[[Any], Any]


def _lite(variant: str) -> Backbone:
    return Backbone(
        32,
        lambda path: efficientnet_lite.build(variant, path),
        lambda frames: keras.layers.Rescaling(255 / 128, -127 / 128)(frames),
    )


def _keras_application(builder: str, min_side: int, scale: Callable[[Any], Any]) -> Backbone:
    def build(path: Path | None) -> keras.Model:
        application = getattr(keras.applications, builder)
        return application(
            include_top=False,
            weights=None if path is None else str(path),
            input_shape=(None, None, 3),
            pooling="avg",
        )

    return Backbone(min_side, build, scale)


def _caffe_scale(frames: Any) -> Any:
    """BGR, 0 to 255, less the mean of ImageNet, as VGG16 and ResNet50 were trained."""
    reversed_channels = keras.ops.flip(frames, axis=-1)
    return keras.layers.Rescaling(255.0, [-103.939, -116.779, -123.68])(reversed_channels)


REGISTRY: dict[str, Backbone] = {
    "efficientnet_lite0": _lite("lite0"),
    "efficientnet_lite1": _lite("lite1"),
    "efficientnet_lite2": _lite("lite2"),
    "vgg16": _keras_application("VGG16", 32, _caffe_scale),
    "resnet50": _keras_application("ResNet50", 32, _caffe_scale),
    "inception_v3": _keras_application(
        "InceptionV3", 75, lambda frames: keras.layers.Rescaling(2.0, -1.0)(frames)
    ),
}


def build(
    name: str, weights_file: Path | None, seed: int, input_size: int | None = None
) -> keras.Model:
    """Builds a frozen backbone with its own scaling in front.

    Args:
        name: One of `REGISTRY`.
        weights_file: From `weights.fetch`; None: random values drawn from `seed`.
        input_size: Side of the squares that it resizes frames to; None: it takes them as they are.

    Returns:
        A model, not trainable, from frames (n, h, w, 3), float32, RGB in [0, 1], of any size from
        `min_side` on, to features (n, d), globally pooled.
    """
    backbone = REGISTRY[name]
    network = backbone.build(weights_file)
    if weights_file is None:
        seeds.draw(network, seed)
    frames = keras.Input((None, None, 3))
    seen = frames
    if input_size is not None:
        seen = keras.layers.Resizing(input_size, input_size, antialias=True)(frames)
    features = network(backbone.scale(seen), training=False)
    model = keras.Model(frames, features, name=name)
    model.trainable = False
    return model


def build_all(params: EmbedFrames, seed: int) -> keras.Model:
    """Builds the composite network of params.yaml; raises WeightsError as `weights.fetch` does."""
    return concatenate(
        [
            build(name, source, seed, params.input_sizes.get(name))
            for name, source in weights.fetch_all(params).items()
        ]
    )


def require_side(names: Sequence[str], side: int, setting: str) -> None:
    """Raises ValueError when a backbone cannot see frames of `side`, which `setting` leads to."""
    for name in names:
        if side < REGISTRY[name].min_side:
            raise ValueError(
                f"{setting} leads to frames of {side} px, and {name} takes no less than "
                f"{REGISTRY[name].min_side} px; raise the setting or choose another backbone"
            )


def concatenate(networks: Sequence[keras.Model]) -> keras.Model:
    """Returns the composite network: frames as `build` takes them to all features side by side."""
    frames = keras.Input((None, None, 3))
    features = [network(frames, training=False) for network in networks]
    joined = features[0] if len(features) == 1 else keras.layers.Concatenate()(features)
    model = keras.Model(frames, joined, name="backbone")
    model.trainable = False
    return model


def embedder(
    network: keras.Model, batch: int, size: int, side: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a compiled function from frames to features.

    Args:
        network: From `build`.
        batch: How many frames the network sees at a time; fewer are filled up, for one shape is
            compiled once.
        size: Side of the frames given, px.
        side: Side to which they are resized by area before the network sees them.

    Returns:
        From frames (n, size, size, 3), uint8, to features (n, d), float32.
    """

    @tf.function(input_signature=[tf.TensorSpec((batch, size, size, 3), tf.uint8)])
    def compiled(frames: tf.Tensor) -> tf.Tensor:
        return network(images.resize(images.unit_range(frames), side), training=False)

    # Looking up which graph is meant takes a tenth of a small clip's time.
    graph = compiled.get_concrete_function()

    def embed(frames: np.ndarray) -> np.ndarray:
        batches = -(-len(frames) // batch)
        filled = np.zeros((batches * batch, size, size, 3), np.uint8)
        filled[: len(frames)] = frames
        features = [graph(tf.constant(some)).numpy() for some in np.split(filled, batches)]
        return np.concatenate(features)[: len(frames)]

    return embed
