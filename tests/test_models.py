"""The classifiers and how they are stored, on a small random backbone."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from stemtune import backbones, dataset, heads, models, stem
from stemtune import frames as frame_store
from stemtune.manifest import TRAIN

SIDE = 72
FRAMES = np.random.default_rng(2).integers(0, 256, (6, SIDE, SIDE, 3), np.uint8)


def small_backbone() -> keras.Model:
    keras.utils.set_random_seed(3)
    frames = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, 2, activation="relu")(frames)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.BatchNormalization()(x))
    network = keras.Model(frames, x, name="small")
    network.trainable = False
    return backbones.concatenate([network])


def classifier(start: str | None) -> keras.Model:
    head = heads.new(4, 3, seed=1)
    return models.assemble("tested", small_backbone(), head, start and stem.build(start, 2, 1))


@pytest.mark.parametrize("start", [None, "filter"])
def test_a_stored_classifier_answers_alike_and_in_equal_bytes(
    tmp_path: Path, start: str | None
) -> None:
    first = classifier(start)
    models.save(first, ["a", "b", "c"], tmp_path / "1")
    loaded = models.load(tmp_path / "1")
    models.save(loaded, ["a", "b", "c"], tmp_path / "2")
    assert np.array_equal(models.predictor(first)(FRAMES), models.predictor(loaded)(FRAMES))
    for name in (models.ARCHITECTURE_FILE, models.WEIGHTS_FILE, models.CLASSES_FILE):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), name


def test_operations_are_counted_as_two_for_a_multiplication_and_an_addition() -> None:
    frames = keras.Input((None, None, 3), dtype="uint8")
    x = keras.layers.Conv2D(5, 3, use_bias=False)(keras.layers.Rescaling(1.0)(frames))
    counted = models.flops(keras.Model(frames, x), 10)
    convolution = 2 * 8 * 8 * 5 * 3 * 3 * 3
    assert convolution <= counted <= convolution + 3 * 10 * 10 * 3


def batches(folder: Path, seed: int | None) -> dataset.FrameBatches:
    import pandas as pd

    from stemtune import shards

    shards.write(shards.path_of(folder, "one"), FRAMES)
    rows = pd.DataFrame(
        {"shard": "one", "index": range(6), "label": [0, 1, 2, 0, 1, 2], "split": TRAIN}
    )
    return dataset.FrameBatches(folder, rows, SIDE, batch_size=4, seed=seed)


def test_batches_hold_every_frame_once_and_repeat_by_seed(tmp_path: Path) -> None:
    def epoch(data: dataset.FrameBatches) -> list[int]:
        means = [frame.mean() for index in range(data.num_batches) for frame in data[index][0]]
        data.on_epoch_end()
        return np.argsort(np.argsort(means)).tolist()

    first, second = batches(tmp_path, seed=5), batches(tmp_path, seed=5)
    epochs = [epoch(first) for _ in range(3)]
    assert epochs == [epoch(second) for _ in range(3)]
    assert all(sorted(order) == list(range(6)) for order in epochs)
    assert len({tuple(order) for order in epochs}) > 1
    assert np.array_equal(frame_store.read_frame(tmp_path, "one", 2, SIDE), FRAMES[2])


@pytest.mark.parametrize("name", ["efficientnet_lite0", "vgg16", "resnet50", "inception_v3"])
def test_every_backbone_takes_any_size_and_survives_storing(name: str) -> None:
    network = backbones.build(name, None, seed=1)
    assert not network.trainable_variables
    again = keras.models.model_from_json(network.to_json())
    again.set_weights(network.get_weights())
    frames = np.random.default_rng(1).random((1, 96, 80, 3), np.float32)
    features = network(frames).numpy()
    assert features.shape == (1, network.output_shape[-1])
    assert np.isfinite(features).all()
    assert np.array_equal(again(frames).numpy(), features)
    assert json.loads(network.to_json())["config"]["name"] == name


def test_backbones_scale_frames_as_they_were_trained() -> None:
    frames = np.random.default_rng(1).random((1, 4, 4, 3), np.float32)
    for name, module in (
        ("vgg16", keras.applications.vgg16),
        ("resnet50", keras.applications.resnet50),
        ("inception_v3", keras.applications.inception_v3),
    ):
        scaled = np.asarray(backbones.REGISTRY[name].scale(frames))
        assert np.allclose(scaled, module.preprocess_input(255 * frames.copy()), atol=1e-3), name
    lite = np.asarray(backbones.REGISTRY["efficientnet_lite0"].scale(frames))
    assert np.allclose(lite, (255 * frames - 127) / 128, atol=1e-5)


def test_an_embedding_depends_on_its_frame_alone() -> None:
    network = small_backbone()
    embed = backbones.embedder(network, batch=6, size=SIDE, side=SIDE)
    assert np.array_equal(embed(FRAMES)[2:3], embed(FRAMES[2:3]))
    small = backbones.embedder(network, batch=6, size=SIDE, side=32)
    assert small(FRAMES).shape == (6, 4)


def test_a_side_too_small_for_a_backbone_is_refused() -> None:
    with pytest.raises(ValueError, match=r"size 100 leads to frames of 46 px.*inception_v3.*75 px"):
        backbones.require_side(["vgg16", "inception_v3"], 46, "extract_frames.size 100")
