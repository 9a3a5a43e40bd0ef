"""The stem: its layers, its starts, its quick form, and that it alone trains."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from bench.project import QUICK_STEM
from stemtune.core import geometry
from stemtune.core.results import Epoch
from stemtune.core.settings.training import Attempt, Variant
from stemtune.networks import images, stem
from stemtune.networks.classifier import Classifier
from stemtune.store import shards
from stemtune.store.manifest import TRAIN, VALIDATION
from stemtune.training import dataset, heads, stem_search, stem_training
from stemtune.training.stem_search import StoredStem
from tests.support.classifiers import tiny_classifier
from tests.support.spread import Spread

SIDE = 72
STRIDES = (2, 3, 4)
KERNELS = pytest.mark.parametrize("kernels", [(7, 3), (3, 7)])
LABELS = [0, 1, 2, 0, 1, 2]
FRAMES = np.random.default_rng(2).integers(0, 256, (6, SIDE, SIDE, 3), np.uint8)


def batches(
    folder: Path, seed: int | None, teacher: np.ndarray | None = None, labels: list[int] = LABELS
) -> dataset.FrameBatches:
    shards.write(shards.path_of(folder, "one"), FRAMES)
    rows = pd.DataFrame({"shard": "one", "index": range(6), "label": labels, "split": TRAIN})
    return dataset.FrameBatches(folder, rows, SIDE, 4, seed, teacher)


def train(
    stemmed: Classifier,
    folder: Path,
    objective: str,
    joint: bool = False,
    rate: float = 1e-2,
    keep_best: bool = False,
    decay: bool = False,
    **settings: Any,
) -> stem_training.StemTraining:
    """Trains on labels, or on the probabilities that the head gives for features of its own."""
    features = np.random.default_rng(4).random((6, 4), np.float32)
    teacher = heads.predict(stemmed.head, features) if objective != "labels" else None
    frames, validation = (batches(folder, seed, teacher, **settings) for seed in (1, None))
    trainer = stem_training.StemTrainer(stemmed, SIDE, objective, joint)
    epochs: list[Epoch] = []
    training = trainer.train(frames, validation, rate, 2, "tested", epochs.append, keep_best, decay)
    assert training.epochs == epochs
    return training


@pytest.mark.parametrize("stride", STRIDES)
def test_the_stem_is_the_paper_s_whatever_its_stride(stride: int) -> None:
    built = stem.build("random", stride, 1)
    padding = stem.build("random", stride, 1, (3, 7), pads=True)
    layers = ["Conv2D", "ReLU", "Conv2D", "ReLU"]
    assert [type(layer).__name__ for layer in built.layers] == layers
    assert [type(layer).__name__ for layer in padding.layers] == ["ZeroPadding2D", *layers]
    assert built.count_params() == padding.count_params() == 444 + 84 == 528
    for side in (72, 73, 74, 75, 97):
        handed_on = geometry.behind_stem(side, stride)
        black = np.zeros((1, side, side, 3), np.float32)
        assert built(black).shape == (1, handed_on, handed_on, 3)
        small = geometry.small_side(side, stride)
        assert padding(black).shape == (1, small, small, 3)
        assert geometry.before_stem(handed_on, stride) <= side
        assert geometry.before_stem(handed_on + 1, stride) > side


def test_the_paper_s_stem_makes_108_px_of_224_and_one_that_pads_112() -> None:
    assert geometry.behind_stem(224, stride=2) == 108
    assert geometry.small_side(224, stride=2) == 112


@KERNELS
@pytest.mark.parametrize("stride", STRIDES)
def test_the_average_start_hands_on_the_resized_picture(stride: int, kernels: stem.Kernels) -> None:
    frames = FRAMES.astype(np.float32) / 255
    side = geometry.behind_stem(SIDE, stride)
    # The stem loses a border to its convolutions.
    border = 2 if stride == 4 else 3
    inner = slice(border, border + stride * side)
    expected = images.resize(frames[:, inner, inner], side).numpy()
    made = stem.build("average", stride, 1, kernels)(frames).numpy()
    assert np.abs(made - expected).max() < 1e-6


@KERNELS
@pytest.mark.parametrize("stride", STRIDES)
def test_a_stem_that_pads_hands_on_the_whole_picture(stride: int, kernels: stem.Kernels) -> None:
    frames = FRAMES.astype(np.float32) / 255
    expected = images.resize(frames, SIDE // stride).numpy()
    made = stem.build("average", stride, 1, kernels, pads=True)(frames).numpy()
    assert np.abs(made - expected).max() < 1e-6


def test_an_unknown_start_is_refused() -> None:
    with pytest.raises(ValueError, match="random and average"):
        stem.build("zeros", 2, 1)


@pytest.mark.parametrize("side", [72, 73, 75, 98])
@pytest.mark.parametrize("stride", STRIDES)
@KERNELS
@pytest.mark.parametrize("pads", [False, True])
def test_the_quick_form_computes_what_the_layers_do(
    pads: bool, kernels: stem.Kernels, stride: int, side: int
) -> None:
    built = stem.build("random", stride, 1, kernels, pads)
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


OBJECTIVES = pytest.mark.parametrize("objective", ["labels", "distillation", "both"])


@OBJECTIVES
@pytest.mark.parametrize("stride", STRIDES)
def test_only_the_stem_trains(tmp_path: Path, stride: int, objective: str) -> None:
    stemmed = tiny_classifier("random", stride)
    parts = (stemmed.backbone, stemmed.head)
    behind = [part.get_weights() for part in parts]
    before = stemmed.require_stem().get_weights()
    train(stemmed, tmp_path, objective)
    for kept, part in zip(behind, parts, strict=True):
        after = part.get_weights()
        assert all(np.array_equal(one, other) for one, other in zip(kept, after, strict=True))
    after = stemmed.require_stem().get_weights()
    assert not any(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


@OBJECTIVES
def test_epochs_tell_accuracy_and_loss(tmp_path: Path, objective: str) -> None:
    stemmed = tiny_classifier("average")
    training = train(stemmed, tmp_path, objective)
    epochs = training.epochs
    assert (training.metrics, training.death) == (epochs[1].metrics, "")
    assert [epoch.epoch for epoch in epochs] == [1, 2]
    assert set(epochs[1].metrics) == {
        "train_accuracy",
        "train_loss",
        "validation_accuracy",
        "validation_loss",
    }
    answers = stemmed.predictor()(FRAMES)
    right = float((answers.argmax(axis=1) == LABELS).mean())
    assert epochs[1].metrics["validation_accuracy"] == pytest.approx(right)


def test_a_stem_that_died_is_told(tmp_path: Path) -> None:
    stemmed = tiny_classifier("random")
    last = stemmed.require_stem().get_layer("convolution_2")
    last.bias.assign([-100.0] * 3)
    training = train(stemmed, tmp_path, "labels")
    assert len({epoch.metrics["train_accuracy"] for epoch in training.epochs}) == 1
    [note] = stem_search.notes({Attempt(0.01): training}, Attempt(0.01), "add_stem.variants.tested")
    assert "the stem died at 0.01: it hands on nothing but zeros" in note
    assert "add_stem.variants.tested other learning_rates, " in note
    # So bright that no frame is told from another.
    last.bias.assign([1e6] * 3)
    death = train(stemmed, tmp_path, "labels").death
    assert death.startswith("training accuracy stayed at 33.33% in all 2 epochs")


def test_a_stem_that_imitates_looks_at_no_label(tmp_path: Path) -> None:
    kernels = []
    for labels in (LABELS, LABELS[::-1]):
        stemmed = tiny_classifier("average")
        losses = [
            epoch.metrics["train_loss"]
            for epoch in train(stemmed, tmp_path, "distillation", labels=labels).epochs
        ]
        assert losses[1] < losses[0]
        kernels.append(stemmed.require_stem().get_weights())
    assert all(np.array_equal(one, other) for one, other in zip(*kernels, strict=True))


def test_of_several_attempts_the_stem_that_validates_best_is_kept(tmp_path: Path) -> None:
    shards.write(shards.path_of(tmp_path, "one"), FRAMES)
    rows = pd.DataFrame({"shard": "one", "index": range(6), "label": LABELS})
    table = pd.concat([rows.assign(split=split) for split in (TRAIN, VALIDATION)])
    stemmed, data = (
        tiny_classifier("average"),
        stem_search.StemData(tmp_path, table, SIDE, 4, 1, 1, None),
    )
    followed: dict[Attempt, list[Epoch]] = {}

    @contextmanager
    def watch(attempt: Attempt) -> Iterator[Callable[[Epoch], None]]:
        followed[attempt] = []
        yield followed[attempt].append

    settings = Variant.model_validate({**QUICK_STEM, "keep_epoch": "last"})
    attempts = [Attempt(1e-2), Attempt(1e-2), Attempt(10.0), Attempt(1e-2, 2), Attempt(20.0)]
    trainings = stem_search.train(stemmed, data, settings, attempts, 2, "tested", watch)
    first, again, last, other, _ = trainings
    assert followed == {
        attempt: training.epochs
        for attempt, training in zip(attempts[1:], trainings[1:], strict=True)
    }
    # Each attempt starts from the same weights, and sees frames in its order.
    assert [epoch.metrics for epoch in first.epochs] == [epoch.metrics for epoch in again.epochs]
    assert other.epochs[0].metrics != first.epochs[0].metrics
    best = stem_search.best([last, first])
    assert best is first
    best = stem_search.best(trainings)
    answers = stemmed.predictor()(FRAMES)
    loss = -np.log(answers[range(6), LABELS]).mean()
    assert loss == pytest.approx(best.metrics["validation_loss"], rel=1e-4)
    # Where attempts are spread, a stored stem is trained for each by itself.
    apart = tiny_classifier("average")
    stems = [StoredStem(tmp_path / "stem", data, settings, each, 2, "tested") for each in attempts]
    found = stem_search.train_all(apart, stems, watch, Spread(1))
    assert [each.metrics for each in found] == [each.metrics for each in trainings]
    assert followed[attempts[2]] == found[2].epochs
    assert np.array_equal(apart.predictor()(FRAMES), answers)
    tried = dict(zip(attempts, trainings, strict=True))
    kept = next(one for one, each in zip(attempts, trainings, strict=True) if each is best)
    died, *_, chosen, advice = stem_search.notes(tried, kept, "add_stem.variants.tested")
    assert died.startswith("the stem died at 10: ")
    assert chosen == f"validates best {kept}"
    assert "add it to add_stem.variants.tested.learning_rates" in advice


@OBJECTIVES
def test_stem_and_head_train_together(tmp_path: Path, objective: str) -> None:
    stemmed = tiny_classifier("average")
    parts = (stemmed.require_stem(), stemmed.head, stemmed.backbone)
    before = [part.get_weights() for part in parts]
    train(stemmed, tmp_path, objective, joint=True)
    changed = [
        not all(
            np.array_equal(one, other) for one, other in zip(kept, part.get_weights(), strict=True)
        )
        for kept, part in zip(before, parts, strict=True)
    ]
    assert changed == [True, True, False]


def test_what_is_learned_is_half_the_labels_and_half_the_softened_teacher(tmp_path: Path) -> None:
    stemmed = tiny_classifier("average")
    random = np.random.default_rng(4)
    teacher = heads.predict(stemmed.head, random.random((6, 4), np.float32))
    answers = stemmed.predictor()(FRAMES)
    start = train(stemmed, tmp_path, "both", rate=1e-9, keep_best=True).epochs[0]
    logits, wanted = np.log(answers), np.log(teacher)

    def softened(values: np.ndarray) -> np.ndarray:
        raised = np.exp(values / 3)
        return raised / raised.sum(axis=1, keepdims=True)

    found, of_teacher = softened(logits), softened(wanted)
    divergence = (of_teacher * np.log(of_teacher / found)).sum(axis=1).mean()
    of_labels = -np.log(answers[range(6), LABELS]).mean()
    expected = 0.5 * of_labels + 0.5 * 9 * divergence
    assert start.metrics["validation_loss"] == pytest.approx(expected, rel=1e-4)


def test_a_rate_that_falls_to_zero_trains_otherwise(tmp_path: Path) -> None:
    last = [
        train(tiny_classifier("average"), tmp_path, "labels", decay=decay).epochs[-1].metrics
        for decay in (False, True)
    ]
    assert last[0] != last[1]


def test_training_never_ends_below_its_start_on_validation(tmp_path: Path) -> None:
    stemmed = tiny_classifier("average")
    train(stemmed, tmp_path, "labels", keep_best=True)
    before = stemmed.require_stem().get_weights()
    # At such a rate the stem dies at once.
    training = train(stemmed, tmp_path, "labels", rate=100.0, keep_best=True)
    assert [epoch.epoch for epoch in training.epochs] == [0, 1, 2]
    losses = [epoch.metrics["validation_loss"] for epoch in training.epochs]
    accuracies = [epoch.metrics["validation_accuracy"] for epoch in training.epochs]
    assert training.training.kept == 0
    assert training.metrics == {"validation_accuracy": accuracies[0], "validation_loss": losses[0]}
    after = stemmed.require_stem().get_weights()
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


def test_a_random_start_is_drawn_by_its_seed() -> None:
    first, again, other = (stem.build("random", 2, seed).get_weights()[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
