"""Stems: what trains and what does not, what is learned, which attempt and which epoch is kept."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

from stemtune.core import params
from stemtune.core.errors import InputError
from stemtune.core.paths import BASELINE, EMBEDDINGS, FRAMES, MANIFEST, RETRAINED
from stemtune.core.records import Record
from stemtune.engine.engine import Local
from stemtune.networks import classifier, stem
from stemtune.networks.classifier import Classifier
from stemtune.store import arrays, embeddings, frame_store, manifest
from stemtune.training import fit, stems
from stemtune.training.stems import StemTask
from tests.support.classifiers import tiny_classifier
from tests.support.project import ROOT
from tests.support.spread import Spread

# Of frames, and of those large enough for a stem of stride 4, px.
SIDE, LARGE = 72, 144
LABELS = [0, 1, 2, 0, 1, 2]
# Noise, each label in a color of its own.
COLORS = np.where(np.arange(3) == np.array(LABELS)[:, None], 1, 0.3)[:, None, None, :]
NOISE = np.random.default_rng(2).integers(0, 256, (6, SIDE, SIDE, 3))
PIXELS = (NOISE * COLORS).astype(np.uint8)
FEATURES = np.random.default_rng(4).random((6, 4), np.float32)


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six clips, each of one frame, which is trained and validated on, and their features."""
    monkeypatch.chdir(tmp_path)
    store(LABELS)
    identity = embeddings.Identity(4, "made up", 2)
    embeddings.prepare(EMBEDDINGS, "efficientnet_lite0", identity, [SIDE, LARGE])
    write_frames(PIXELS)
    for side in (SIDE, LARGE):
        folder = embeddings.side_folder(EMBEDDINGS, "efficientnet_lite0", side)
        for number, features in enumerate(FEATURES):
            held = {embeddings.FEATURES: np.stack([features] * 3)}
            arrays.write(arrays.path_of(folder, str(number)), **held)
    classifier.save_network(replace(tiny_classifier(False), name="baseline"), BASELINE)


def write_frames(pixels: np.ndarray) -> None:
    for number, frame in enumerate(pixels):
        facts = frame_store.Measurements()
        frame_store.write(FRAMES, str(number), facts, [frame] * 3)


def store(labels: list[int]) -> None:
    """Writes the manifest of the clips."""
    rows = [
        [str(number), "abc"[label], str(number), str(number), [*manifest.SPLITS], ""]
        for number, label in enumerate(labels)
    ]
    columns = ["clip", "class", "group", "shard", "frame_splits", "quarantined"]
    manifest.write(pd.DataFrame(rows, columns=columns), MANIFEST)


def task_of(head: str = "frozen_full", stride: int = 2) -> StemTask:
    """Returns a task whose classifier answers, before it is trained, with the nearest label."""
    content = params.load(ROOT / "params.yaml").model_dump()
    content["extract_frames"]["size"], content["compare"]["sides"] = SIDE, []
    if stride > 2:
        content["extract_frames"]["size"] = LARGE
        write_frames(np.tile(PIXELS, (1, 2, 2, 1)))
    content["add_stem"] |= {
        "downscale": stride,
        "batch_size": 4,
        "epochs": 2,
        "variants": {"tested": {"head": head}},
    }
    task = StemTask("tested", params.Params.model_validate(content))
    begun = stems.begin(task)
    # The label whose mean features are nearest.
    means = begun.features(PIXELS).numpy().reshape(2, 3, -1).mean(axis=0)
    scale = 2 / np.square(means - means.mean(axis=0)).sum(axis=1).mean()
    begun.head.set_weights([scale * means.T, -scale / 2 * np.square(means).sum(axis=1)])
    classifier.save_network(replace(begun, name="baseline", stem=None), BASELINE)
    return task


@pytest.fixture(autouse=True)
def _small_frames_have_a_head() -> None:
    for side in (SIDE // 2, LARGE // 3, LARGE // 4):
        resized = replace(tiny_classifier(False), name="retrained")
        resized.head.set_weights([np.eye(4, 3), np.ones(3)])
        classifier.save_network(resized, RETRAINED / str(side))


def same(one: Any, other: Any) -> bool:
    return all(np.array_equal(*pair) for pair in zip(one, other, strict=True))


def parts(model: Classifier) -> list[list[np.ndarray]]:
    return [part.get_weights() for part in (model.require_stem(), model.head, model.backbone)]


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_only_the_stem_trains(stride: int) -> None:
    task = task_of(stride=stride)
    told: list[Record] = []
    before, trained = parts(stems.begin(task)), stems.train(task, 0.01, told.append)
    model = stems.finished(task, trained)
    assert [same(*pair) for pair in zip(before, parts(model), strict=True)] == [False, True, True]
    epochs = trained.training.epochs
    assert [epoch.epoch for epoch in epochs] == [1, 2]
    assert told[-1].epochs == epochs
    assert set(epochs[1].metrics) == {
        "train_accuracy",
        "train_loss",
        "validation_accuracy",
        "validation_loss",
    }
    shown = PIXELS if stride == 2 else np.tile(PIXELS, (1, 2, 2, 1))
    right = float((model.predictor()(shown).argmax(axis=1) == LABELS).mean())
    assert trained.metrics["validation_accuracy"] == pytest.approx(right)


def test_the_head_behind_it_is_that_of_small_frames_or_the_baseline_s() -> None:
    for head, folder in (("frozen_small", RETRAINED / "36"), ("frozen_full", BASELINE)):
        behind = stems.begin(task_of(head)).head.get_weights()
        assert same(behind, classifier.load(folder).head.get_weights())


def test_a_stem_that_died_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    task, build = task_of(), stem.build
    for bias, death in (
        (-100.0, "its output is zero everywhere"),
        # So bright that no frame is told from another.
        (1e6, "training accuracy stayed at 33.33% in all 2 epochs"),
    ):

        def dying(stride: int, seed: int, bias: float = bias) -> keras.Model:
            built = build(stride, seed)
            built.get_layer("convolution_2").bias.assign([bias] * 3)
            return built

        monkeypatch.setattr(stem, "build", dying)
        trained = stems.train(task, 0.01)
        assert trained.death.startswith(death)
        [note] = stems.notes([trained], trained, "add_stem.learning_rates")
        assert note.startswith(f"the stem died at 0.01: {death}")
        assert note.endswith("; give add_stem.learning_rates others, lower ones in most cases")
        # If all died, none says that a larger rate may be better.
        others = [trained._replace(learning_rate=rate) for rate in (0.003, 0.001)]
        assert len(stems.notes([trained, *others], trained, "add_stem.learning_rates")) == 1


@pytest.mark.parametrize(
    ("accuracies", "is_dead"), [({0.6}, True), ({0.4}, True), ({0.5}, False), ({0.4, 0.6}, False)]
)
def test_the_same_accuracy_in_all_epochs_is_one_answer_only_if_a_class_has_that_share(
    accuracies: set[float], is_dead: bool
) -> None:
    labels = np.array([0, 0, 0, 1, 1])
    assert stems._is_one_answer(accuracies, labels) == is_dead


def test_rates_train_alike_here_and_elsewhere_and_the_most_accurate_is_kept() -> None:
    task, rates = task_of(), [0.01, 0.001, 10.0]
    shown: list[Record] = []
    tried = [*Local(1).map(partial(stems.train, task, tell=shown.append), rates)]
    told = dict.fromkeys(record.name for record in shown)
    assert [*told] == [f"tested at {rate}" for rate in rates]
    apart = [*Spread(1).map(partial(stems.train, task), rates[:2])]
    for one, other in zip(tried[:2], apart, strict=True):
        assert (one.metrics, one.death) == (other.metrics, other.death)
        assert same(one.weights, other.weights)
    accuracies = [each.metrics["validation_accuracy"] for each in tried]
    best = stems.best(tried)
    assert best.metrics["validation_accuracy"] == max(accuracies)
    answers = stems.finished(task, best).predictor()(PIXELS)
    assert (answers.argmax(axis=1) == LABELS).mean() == pytest.approx(max(accuracies))
    *_, advice = stems.notes(tried, tried[2], "add_stem.learning_rates")
    assert "add a larger one to add_stem.learning_rates" in advice


def test_a_rate_at_which_training_diverges_ranks_last_and_can_be_recorded() -> None:
    task = task_of()
    told: list[Record] = []
    diverged, sound = stems.train(task, 1e38, told.append), stems.train(task, 0.01)
    assert "validation_loss" not in diverged.metrics
    assert stems.best([diverged, sound]) is sound
    notes = stems.notes([diverged, sound], sound, "add_stem.learning_rates")
    assert notes[0] == "training diverged at 1e+38: loss or weights are not finite"
    json.dumps(told[-1].model_dump(), allow_nan=False)
    # A stage stops if nothing else is left.
    message = r"learning rate 1e\+38 diverged: .* give add_stem\.learning_rates lower rates"
    with pytest.raises(InputError, match=message):
        fit.require_convergence(diverged, "add_stem.learning_rates")
    fit.require_convergence(sound, "add_stem.learning_rates")
