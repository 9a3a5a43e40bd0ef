"""The classifiers and how they are stored, on a small random backbone."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from stemtune.networks import backbones, classifier, cost, stem
from stemtune.report import insides
from stemtune.store import embeddings, frame_store
from stemtune.store.manifest import TRAIN
from stemtune.training import dataset, heads
from tests.support.classifiers import CLASSES, SIDE, head_of, small_backbone, tiny_classifier

FRAMES = np.random.default_rng(2).integers(0, 256, (6, SIDE, SIDE, 3), np.uint8)
SPECIFICATION = classifier.InputSpecification(frames_per_clip=4, size=SIDE, side=SIDE)


@pytest.mark.parametrize("with_stem", [False, True])
def test_a_stored_classifier_answers_alike_and_in_equal_bytes(
    tmp_path: Path, with_stem: bool
) -> None:
    first = tiny_classifier(with_stem)
    classifier.save(first, CLASSES, SPECIFICATION, tmp_path / "1")
    loaded = classifier.load(tmp_path / "1")
    classifier.save(loaded, CLASSES, SPECIFICATION, tmp_path / "2")
    assert np.array_equal(first.predictor()(FRAMES), loaded.predictor()(FRAMES))
    for stored in sorted((tmp_path / "1").iterdir()):
        assert stored.read_bytes() == (tmp_path / "2" / stored.name).read_bytes(), stored.name


def test_operations_are_counted_as_two_for_a_multiplication_and_an_addition() -> None:
    frames = keras.Input((None, None, 3), dtype="uint8")
    x = keras.layers.Conv2D(5, 3, use_bias=False)(keras.layers.Rescaling(1.0)(frames))
    counted = cost.flops(keras.Model(frames, x), 10)
    convolution = 2 * 8 * 8 * 5 * 3 * 3 * 3
    assert convolution <= counted <= convolution + 3 * 10 * 10 * 3


def test_operations_are_those_of_the_graph_that_answers_trains_and_is_exported() -> None:
    stemmed = tiny_classifier(True)

    def operations(graph: Any) -> list[str]:
        return sorted(node.op for node in graph.as_graph_def().node if "Conv" in node.op)

    spec = tf.TensorSpec((1, SIDE, SIDE, 3), tf.uint8)
    graphs = [tf.function(f).get_concrete_function(spec).graph for f in (stemmed, stemmed.model)]
    assert operations(graphs[0]) == operations(graphs[1]) == ["Conv2D"] * 3
    stem_side, small = SIDE - 6, SIDE // 2 - 4
    of_stem = 2 * 3 * 3 * (49 * stem_side**2 + 9 * small**2)
    with_stem = cost.flops(stemmed.model, SIDE)
    assert of_stem < with_stem < 1.2 * of_stem + cost.flops(tiny_classifier(False).model, small)


def test_random_starts_come_from_their_seeds_whatever_was_drawn_before() -> None:
    def starts() -> list[np.ndarray]:
        built = stem.build(2, 1), heads.build(4, 3, head_of(units=2), seed=1)
        network = backbones.build("efficientnet_lite0", None, seed=1)
        return [value for each in (*built, network) for value in each.get_weights()]

    first = starts()
    keras.utils.set_random_seed(99)
    before = np.random.get_state(legacy=False)
    assert all(np.array_equal(*pair) for pair in zip(first, starts(), strict=True))
    assert str(np.random.get_state(legacy=False)) == str(before)


def batches(folder: Path, seed: int | None, views: int = 1, **more: Any) -> dataset.FrameBatches:
    frame_store.write(folder, "one", frame_store.Measurements(), FRAMES)
    rows = pd.DataFrame(
        {"shard": "one", "index": range(6), "label": [0, 1, 2, 0, 1, 2], "split": TRAIN}
    )
    return dataset.FrameBatches(folder, rows, SIDE, batch_size=4, seed=seed, views=views, **more)


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


def test_a_stream_draws_the_order_of_each_epoch_however_the_last_one_ended(tmp_path: Path) -> None:
    indexed, streamed = batches(tmp_path, seed=5), batches(tmp_path, seed=5)
    stream = streamed.stream()
    for taken in (2, 1, 2, 2):
        indexed.on_epoch_end()
        wanted = [indexed[index] for index in range(taken)]
        got = list(stream.take(taken).as_numpy_iterator())
        for (frames, labels), (expected, expected_labels) in zip(got, wanted, strict=True):
            assert np.array_equal(frames, expected)
            assert isinstance(expected_labels, np.ndarray)
            assert np.array_equal(labels, expected_labels)


def test_a_head_has_the_width_and_dropout_that_are_asked_for() -> None:
    plain = heads.build(4, 3, head_of(), seed=1)
    assert plain.count_params() == (4 + 1) * 3
    assert heads.build(4, 3, head_of(), seed=1).to_json() == plain.to_json()
    deep = heads.build(4, 3, head_of(units=5, dropout=0.5), seed=1)
    assert deep.count_params() == (4 + 1) * 5 + (5 + 1) * 3
    features = np.ones((1, 4), np.float32)
    drawn = {deep(features, training=True).numpy().tobytes() for _ in range(8)}
    assert len(drawn) > 1
    assert np.array_equal(heads.predict(deep, features), heads.predict(deep, features))


def test_dropout_is_off_behind_a_stem(tmp_path: Path) -> None:
    head = heads.build(4, 3, head_of(dropout=0.9), seed=1)
    head.set_weights([np.eye(4, 3), np.zeros(3)])
    kept = heads.without_dropout(head)
    built = classifier.Classifier("tested", small_backbone(), kept, stem.build(2, 1))
    answers = built.model(FRAMES, training=False)
    assert np.array_equal(built.model(FRAMES, training=True), answers)
    classifier.save(built, CLASSES, SPECIFICATION, tmp_path)
    assert np.array_equal(classifier.load(tmp_path).model(FRAMES, training=True), answers)


def test_a_composite_shows_each_backbone_frames_at_its_own_side() -> None:
    frames = np.random.default_rng(1).random((1, 96, 96, 3), np.float32)
    plain = backbones.build("efficientnet_lite0", None, seed=1)
    own = backbones.build("efficientnet_lite1", None, seed=2, input_size=80)
    shown_as_it_is = backbones.build("efficientnet_lite1", None, seed=2)
    joined = backbones.concatenate([plain, own])
    features = joined(frames).numpy()
    small = keras.layers.Resizing(80, 80, antialias=True)(frames)
    assert np.array_equal(features[:, :1280], plain(frames))
    assert np.array_equal(features[:, 1280:], shown_as_it_is(small))
    assert not np.allclose(features[:, 1280:], shown_as_it_is(frames), rtol=1e-3, atol=0)
    again = keras.models.model_from_json(joined.to_json())
    again.set_weights(joined.get_weights())
    assert np.array_equal(again(frames), features)


def test_live_features_are_those_of_the_cache_and_of_more_views_when_asked(tmp_path: Path) -> None:
    def features(views: int) -> list[set[bytes]]:
        """All that sixteen epochs show, by label."""
        data = batches(tmp_path, 5, views, embed=embed)
        seen: list[set[bytes]] = [set(), set(), set()]
        for _ in range(16):
            for batch in range(data.num_batches):
                for row, label in zip(*data[batch], strict=True):
                    seen[label].add(row.tobytes())
            data.on_epoch_end()
        return seen

    def cached(frames: np.ndarray) -> list[bytes]:
        return [row.tobytes() for row in (*embed(frames[:4]), *embed(frames[4:]))]

    embed = backbones.embedder(small_backbone(), 4, SIDE, SIDE)
    straight, mirrored = cached(FRAMES), cached(FRAMES[:, :, ::-1])
    # Frames k and k + 3 are of label k.
    assert features(views=1) == [{straight[k], straight[k + 3]} for k in range(3)]
    assert features(views=2) == [
        {straight[k], straight[k + 3], mirrored[k], mirrored[k + 3]} for k in range(3)
    ]
    assert not set(straight) & set(mirrored)
    assert all(len(shown) > 4 for shown in features(views=8))


@pytest.mark.parametrize("name", ["efficientnet_lite0", "inception_v3"])
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


def test_clips_that_are_embedded_together_have_the_features_of_each_alone(tmp_path: Path) -> None:
    clips = {"one": FRAMES[:2], "two": FRAMES[2:3], "three": FRAMES[3:5], "four": FRAMES[5:]}
    for name, stored in clips.items():
        frame_store.write(tmp_path, name, frame_store.Measurements(), stored)
    for folder, at_once in (("alone", 1), ("together", 3)):
        embed = backbones.embedder(small_backbone(), 2 * at_once, SIDE, SIDE)
        embeds = {embeddings.Target(tmp_path / folder, SIDE): embed}
        lacking = {key: [*embeds] for key in clips}
        counted = embeddings.fill(tmp_path, SIDE, lacking, embeds.__getitem__, at_once)
        assert counted == len(FRAMES)
    for name, stored in clips.items():
        alone, together = (
            embeddings.read(tmp_path / folder, name, 4) for folder in ("alone", "together")
        )
        assert alone.shape == (len(stored), 4)
        assert np.allclose(together, alone, rtol=1e-4), name


def test_a_side_too_small_for_a_backbone_is_refused() -> None:
    with pytest.raises(ValueError, match=r"size 100 leads to frames of 46 px.*inception_v3.*75 px"):
        backbones.require_side(["vgg16", "inception_v3"], 46, "extract_frames.size 100")


def test_the_output_of_a_stem_is_what_the_frozen_network_gets() -> None:
    stemmed = tiny_classifier(True)
    handed_on = insides.output(stemmed.require_stem(), FRAMES)
    answers = stemmed.head(stemmed.backbone(handed_on))
    assert np.allclose(answers, stemmed.predictor()(FRAMES), atol=1e-6)
    first, second = insides.kernels_of(stemmed.require_stem())
    assert (first.shape, second.shape) == ((7, 7, 3, 3), (3, 3, 3, 3))


def test_a_resized_frame_is_a_mean_of_areas() -> None:
    frame = np.zeros((1, 4, 4, 3), np.uint8)
    frame[0, :2, :2] = [[[10], [20]], [[30], [40]]]
    assert insides.resized(frame, 2)[0, :, :, 0].tolist() == [[25, 0], [0, 0]]
