"""The stem: its layers, its starts, its quick form, and that it alone trains."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from stemtune import dataset, heads, images, models, shards, sides, stem, stem_training
from stemtune.manifest import TRAIN
from stemtune.records import Epoch
from tests.conftest import head_of
from tests.test_models import small_backbone

SIDE = 72
STRIDES = (2, 3, 4)
LABELS = [0, 1, 2, 0, 1, 2]
FRAMES = np.random.default_rng(2).integers(0, 256, (6, SIDE, SIDE, 3), np.uint8)


def classifier(start: str, stride: int = 2) -> keras.Model:
    return models.assemble(
        "tested",
        small_backbone(),
        heads.new(4, 3, head_of(), seed=1),
        stem.build(start, stride, seed=1),
    )


def batches(
    folder: Path, seed: int | None, teacher: np.ndarray | None = None, labels: list[int] = LABELS
) -> dataset.FrameBatches:
    shards.write(shards.path_of(folder, "one"), FRAMES)
    rows = pd.DataFrame({"shard": "one", "index": range(6), "label": labels, "split": TRAIN})
    return dataset.FrameBatches(folder, rows, SIDE, 4, seed, teacher)


def train(model: keras.Model, folder: Path, taught: bool, **settings: Any) -> list[Epoch]:
    """Trains on labels, or on the probabilities that the head gives for features of its own."""
    features = np.random.default_rng(4).random((6, 4), np.float32)
    teacher = heads.predict(model.get_layer("head"), features) if taught else None
    frames, validation = (batches(folder, seed, teacher, **settings) for seed in (1, None))
    epochs: list[Epoch] = []
    trainer = stem_training.StemTrainer(model, SIDE, taught)
    trainer.train(frames, validation, 1e-2, 2, "tested", epochs.append)
    return epochs


@pytest.mark.parametrize("stride", STRIDES)
def test_the_stem_is_the_paper_s_whatever_its_stride(stride: int) -> None:
    built = stem.build("random", stride, 1)
    assert [type(layer).__name__ for layer in built.layers] == ["Conv2D", "ReLU", "Conv2D", "ReLU"]
    assert built.count_params() == 444 + 84 == 528
    for side in (72, 73, 74, 75, 97):
        handed_on = sides.behind_stem(side, stride)
        assert built(np.zeros((1, side, side, 3), np.float32)).shape == (1, handed_on, handed_on, 3)
        assert sides.before_stem(handed_on, stride) <= side
        assert sides.before_stem(handed_on + 1, stride) > side


def test_the_paper_s_stem_makes_108_px_of_224() -> None:
    assert sides.behind_stem(224, stride=2) == 108


@pytest.mark.parametrize("stride", STRIDES)
def test_the_filter_start_hands_on_the_resized_picture(stride: int) -> None:
    frames = FRAMES.astype(np.float32) / 255
    side = sides.behind_stem(SIDE, stride)
    # The stem loses a border to its convolutions.
    border = 2 if stride == 4 else 3
    inner = slice(border, border + stride * side)
    expected = images.resize(frames[:, inner, inner], side).numpy()
    assert np.abs(stem.build("filter", stride, 1)(frames).numpy() - expected).max() < 1e-6


def test_an_unknown_start_is_refused() -> None:
    with pytest.raises(ValueError, match="random and filter"):
        stem.build("zeros", 2, 1)


@pytest.mark.parametrize("side", [72, 73, 75, 98])
@pytest.mark.parametrize("stride", STRIDES)
def test_the_quick_form_computes_what_the_layers_do(stride: int, side: int) -> None:
    built = stem.build("random", stride, 1)
    for variable in built.trainable_variables:
        variable.assign(variable + 0.05)
    frames = np.random.default_rng(1).random((2, side, side, 3), np.float32)
    weights = np.random.default_rng(2).random(built(frames).shape, np.float32)
    answers, gradients = [], []
    for compute in (built, lambda frames: stem.convolve(built, frames)):
        with tf.GradientTape() as tape:
            answers.append(compute(tf.constant(frames)))
            total = tf.reduce_mean(answers[-1] * weights)
        gradients.append(tape.gradient(total, [v.value for v in built.trainable_variables]))
    assert np.abs(answers[0] - answers[1]).max() < 1e-5
    for one, other in zip(*gradients, strict=True):
        assert np.allclose(one, other, atol=1e-5)
    assert np.abs(gradients[0][0]).max() > 1e-3


TAUGHT = pytest.mark.parametrize("taught", [False, True], ids=["labels", "probabilities"])


@TAUGHT
@pytest.mark.parametrize("stride", STRIDES)
def test_only_the_stem_trains(tmp_path: Path, stride: int, taught: bool) -> None:
    model = classifier("random", stride)
    behind = [model.get_layer(name).get_weights() for name in ("backbone", "head")]
    before = model.get_layer("stem").get_weights()
    train(model, tmp_path, taught)
    for kept, name in zip(behind, ("backbone", "head"), strict=True):
        after = model.get_layer(name).get_weights()
        assert all(np.array_equal(one, other) for one, other in zip(kept, after, strict=True))
    after = model.get_layer("stem").get_weights()
    assert not any(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


@TAUGHT
def test_epochs_tell_accuracy_and_loss(tmp_path: Path, taught: bool) -> None:
    model = classifier("filter")
    epochs = train(model, tmp_path, taught)
    assert [epoch.epoch for epoch in epochs] == [1, 2]
    assert set(epochs[1].metrics) == {
        "train_accuracy",
        "train_loss",
        "validation_accuracy",
        "validation_loss",
    }
    answers = models.predictor(model)(FRAMES)
    right = float((answers.argmax(axis=1) == LABELS).mean())
    assert epochs[1].metrics["validation_accuracy"] == pytest.approx(right)


def test_a_stem_that_imitates_looks_at_no_label(tmp_path: Path) -> None:
    kernels = []
    for labels in (LABELS, LABELS[::-1]):
        model = classifier("filter")
        losses = [
            epoch.metrics["train_loss"] for epoch in train(model, tmp_path, True, labels=labels)
        ]
        assert losses[1] < losses[0]
        kernels.append(model.get_layer("stem").get_weights())
    assert all(np.array_equal(one, other) for one, other in zip(*kernels, strict=True))


def test_a_random_start_is_drawn_by_its_seed() -> None:
    first, again, other = (stem.build("random", 2, seed).get_weights()[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_head_that_would_train_along_is_refused(tmp_path: Path) -> None:
    model = classifier("random")
    model.get_layer("head").trainable = True
    with pytest.raises(AssertionError, match="543 parameters would be trained"):
        train(model, tmp_path, taught=False)
