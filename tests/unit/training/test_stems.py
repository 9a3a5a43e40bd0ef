"""Stems: what trains and what does not, what is learned, which attempt and which epoch is kept."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.project import QUICK_STEM
from stemtune.core import params
from stemtune.core.errors import InputError
from stemtune.core.paths import BASELINE, EMBEDDINGS, FRAMES, MANIFEST, RETRAINED
from stemtune.core.records import Record
from stemtune.core.results import by_loss
from stemtune.core.settings.training import Attempt
from stemtune.engine.engine import Local
from stemtune.networks import classifier
from stemtune.networks.classifier import Classifier
from stemtune.store import arrays, embeddings, frame_store, manifest
from stemtune.training import fit, heads, stem_search, stems
from stemtune.training.kept import Kept
from stemtune.training.stems import StemTask, TrainedStem
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
    classifier.save_network(replace(tiny_classifier(None), name="baseline"), BASELINE)


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


def task_of(start: str = "average", stride: int = 2, live: bool = False, **chosen: Any) -> StemTask:
    """Returns a task that starts from a tiny classifier."""
    content = params.load(ROOT / "params.yaml").model_dump()
    content["extract_frames"]["size"], content["compare"]["sides"] = SIDE, []
    if stride > 2:
        content["extract_frames"]["size"] = LARGE
        write_frames(np.tile(PIXELS, (1, 2, 2, 1)))
    content["train_best"]["head"] |= {"cached_features": not live}
    variant = QUICK_STEM | {"start": start, "padding": "valid"} | chosen
    content["add_stem"] |= {
        "downscale": stride,
        "batch_size": 4,
        "epochs": 2,
        "variants": {"tested": variant},
        "retrained_head": {"learning_rates": [0.1, 0.01], "epochs": 2, "augmentation": "flip"},
    }
    task = StemTask("tested", params.Params.model_validate(content))
    begun = tiny_classifier(start, stride)
    # Its head answers with the label whose mean features are nearest.
    means = begun.features(PIXELS).numpy().reshape(2, 3, -1).mean(axis=0)
    scale = 2 / np.square(means - means.mean(axis=0)).sum(axis=1).mean()
    begun.head.set_weights([scale * means.T, -scale / 2 * np.square(means).sum(axis=1)])
    classifier.save_network(begun, task.start)
    return task


def train(task: StemTask, rate: float = 1e-2) -> TrainedStem:
    return stems.train_variant(task, Attempt(rate))


def same(one: Any, other: Any) -> bool:
    return all(np.array_equal(*pair) for pair in zip(one, other, strict=True))


def parts(model: Classifier) -> list[list[np.ndarray]]:
    return [part.get_weights() for part in (model.require_stem(), model.head, model.backbone)]


def assert_told(task: StemTask, trained: TrainedStem) -> None:
    """Asserts that epochs hold the accuracies and losses of the stem's training."""
    epochs = trained.training.epochs
    assert [epoch.epoch for epoch in epochs] == [1, 2]
    assert trained.records[0].epochs == epochs
    assert set(epochs[1].metrics) == {
        "train_accuracy",
        "train_loss",
        "validation_accuracy",
        "validation_loss",
    }


@pytest.mark.parametrize(("stride", "objective"), [(2, "labels"), (3, "distillation"), (4, "both")])
def test_only_the_stem_trains(stride: int, objective: str) -> None:
    task = task_of("random", stride, objective=objective)
    before, trained = parts(classifier.load(task.start)), train(task)
    model = stems.finished(task, trained)
    after = parts(model)
    assert [same(*pair) for pair in zip(before, after, strict=True)] == [False, True, True]
    assert_told(task, trained)
    shown = PIXELS if stride == 2 else np.tile(PIXELS, (1, 2, 2, 1))
    right = float((model.predictor()(shown).argmax(axis=1) == LABELS).mean())
    assert trained.metrics["validation_accuracy"] == pytest.approx(right)


def test_stem_and_head_train_together_and_the_head_goes_on() -> None:
    task = task_of(objective="both", head="joint")
    before, trained = parts(classifier.load(task.start)), train(task)
    after = parts(stems.finished(task, trained))
    assert [same(*pair) for pair in zip(before, after, strict=True)] == [False, False, True]
    assert_told(task, trained)
    assert_searched(trained, "head again at 0.01, ")


def assert_searched(trained: TrainedStem, name: str) -> None:
    """Asserts that the best of the new heads, behind the trained stem, was taken."""
    records = trained.records[1:]
    assert [record.name for record in records] == [f"{name}trial 1", f"{name}trial 2"]
    losses = [epoch.metrics["validation_loss"] for each in records for epoch in each.epochs]
    assert trained.metrics["validation_loss"] == min(losses)


def test_a_stem_that_died_is_told() -> None:
    task = task_of("random")
    begun = classifier.load(task.start)
    last = begun.require_stem().get_layer("convolution_2")
    last.bias.assign([-100.0] * 3)
    classifier.save_network(begun, task.start)
    trained = train(task)
    assert len({epoch.metrics["train_accuracy"] for epoch in trained.training.epochs}) == 1
    [note] = stems.notes([trained], trained, "add_stem.variants.tested")
    assert "the stem died at 0.01: its output is zero everywhere" in note
    assert "add_stem.variants.tested other learning_rates, " in note
    # So bright that no frame is told from another.
    last.bias.assign([1e6] * 3)
    classifier.save_network(begun, task.start)
    assert train(task).death.startswith("training accuracy stayed at 33.33% in all 2 epochs")


def test_a_stem_that_imitates_looks_at_no_label() -> None:
    kernels = []
    for labels in (LABELS, LABELS[::-1]):
        store(labels)
        trained = train(task_of(objective="distillation"))
        losses = [epoch.metrics["train_loss"] for epoch in trained.training.epochs]
        assert losses[1] < losses[0]
        kernels.append(trained.stem)
    assert same(*kernels)


def test_each_attempt_trains_alike_here_and_elsewhere_and_the_lowest_loss_is_kept() -> None:
    task = task_of(epochs=2)
    attempts = [Attempt(1e-2), Attempt(10.0), Attempt(1e-2, 2), Attempt(20.0)]
    shown: list[Record] = []
    here = partial(stems.train_variant, task, tell=shown.append)
    tried = list(Local(1).map(here, attempts))
    assert [record.name for record in shown] == [f"tested {attempt}" for attempt in attempts]
    # Each attempt starts from the same weights, and sees frames in its own order.
    losses = [each.training.epochs[0].metrics["train_loss"] for each in tried]
    assert losses[2] != losses[0]
    apart = list(Spread(1).map(partial(stems.train_variant, task), attempts[1:3]))
    for one, other in zip(tried[1:3], apart, strict=True):
        assert (one.metrics, one.death) == (other.metrics, other.death)
        assert same(one.stem, other.stem)
        assert [epoch.metrics for record in one.records for epoch in record.epochs] == [
            epoch.metrics for record in other.records for epoch in record.epochs
        ]
    best = stem_search.best(tried)
    answers = stems.finished(task, best).predictor()(PIXELS)
    loss = -np.log(answers[range(6), LABELS]).mean()
    assert loss == pytest.approx(min(each.metrics["validation_loss"] for each in tried), rel=1e-4)
    *_, chosen, advice = stems.notes(tried, best, "add_stem.variants.tested")
    assert chosen == f"kept the attempt {best.attempt}, the best on validation"
    assert "add it to add_stem.variants.tested.learning_rates" in advice


def test_a_restart_of_a_random_stem_has_a_start_of_its_own() -> None:
    for start, differs in (("random", True), ("average", False)):
        task = task_of(start, epochs=1)
        # At such a rate it stays where it began.
        one, other = (stems.train_variant(task, Attempt(1e-9, number)).stem for number in (1, 2))
        assert np.allclose(one[0], other[0], atol=1e-6) != differs


def test_a_rate_at_which_training_diverges_ranks_last_and_can_be_recorded() -> None:
    task = task_of(clipnorm=None)
    diverged, sound = train(task, 1e38), train(task)
    assert "validation_loss" not in diverged.metrics
    assert min([diverged, sound], key=by_loss) is sound
    json.dumps([record.model_dump() for record in diverged.records], allow_nan=False)
    # A stage stops if nothing else is left.
    message = r"learning rate 1e\+38 diverged: .* give add_stem\.variants\.mine lower rates"
    with pytest.raises(InputError, match=message):
        fit.require_convergence(diverged, "add_stem.variants.mine")
    fit.require_convergence(sound, "add_stem.variants.mine")
    kept = train(task_of(keep_epoch="best"), 1e38)
    assert kept.training.kept == 0


def test_half_labels_and_half_a_softened_teacher_are_learned() -> None:
    task = task_of(objective="both", keep_epoch="best")
    start = train(task, 1e-9).training.epochs[0]
    answers = classifier.load(task.start).predictor()(PIXELS)
    teacher = heads.predict(classifier.load(BASELINE).head, FEATURES)

    def softened(values: np.ndarray) -> np.ndarray:
        raised = values ** (1 / 3)
        return raised / raised.sum(axis=1, keepdims=True)

    found, of_teacher = softened(answers), softened(teacher)
    divergence = (of_teacher * np.log(of_teacher / found)).sum(axis=1).mean()
    of_labels = -np.log(answers[range(6), LABELS]).mean()
    expected = 0.5 * of_labels + 0.5 * 9 * divergence
    assert start.metrics["validation_loss"] == pytest.approx(expected, rel=1e-4)


def test_a_rate_that_falls_to_zero_trains_otherwise() -> None:
    constant, falling = (train(task_of(decay=decay)) for decay in ("none", "cosine"))
    assert constant.metrics != falling.metrics


def test_training_never_ends_above_its_start_in_validation_loss() -> None:
    task = task_of(keep_epoch="best")
    before = classifier.load(task.start).require_stem().get_weights()
    # At such a rate the stem dies at once.
    trained = train(task, 100.0)
    epochs = trained.training.epochs
    assert [epoch.epoch for epoch in epochs] == [0, 1, 2]
    assert trained.training.kept == 0
    assert trained.metrics == epochs[0].metrics
    assert set(trained.metrics) == {"validation_accuracy", "validation_loss"}
    assert same(before, trained.stem)
    notes = stems.notes([trained], trained, "add_stem.variants.tested")
    [kept] = [note for note in notes if "kept the start" in note]
    assert kept.startswith("WARNING: ")
    assert "the stem is untrained; give add_stem.variants.tested other learning_rates " in kept
    improved = train(task, 1e-3).training
    losses = {epoch.epoch: epoch.metrics["validation_loss"] for epoch in improved.epochs}
    assert losses[improved.kept] == min(losses.values())


def test_a_stem_gets_the_head_of_small_frames_if_it_is_frozen_or_starts_as_a_resize() -> None:
    task = task_of(head="joint", padding="same")
    resized = replace(tiny_classifier(None), name="retrained")
    resized.head.set_weights([np.eye(4, 3), np.ones(3)])
    classifier.save_network(resized, RETRAINED / str(task.settings.small_side))
    told: list[Record] = []
    stems.prepare(task, told.append)
    assert same(classifier.load(task.start).head.get_weights(), resized.head.get_weights())
    # As the paper's stem does; behind the baseline's it has nothing to do with small frames.
    for head, folder in (("frozen_small", RETRAINED / "36"), ("frozen_full", BASELINE)):
        frozen = task_of(head=head, start="random")
        stems.prepare(frozen, told.append)
        behind = classifier.load(frozen.start).head.get_weights()
        assert same(behind, classifier.load(folder).head.get_weights())
    assert told == []
    # Behind another start it has to be trained.
    stems.prepare(task_of(head="joint", start="random", padding="same"), told.append)
    assert [record.name for record in told] == ["head, trial 1", "head, trial 2"]


def test_a_killed_stage_keeps_its_own_trainings_whatever_another_clears(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def trained() -> tuple[TrainedStem, int]:
        capsys.readouterr()
        found = train(task_of(head="retrained", live=True, epochs=1))
        return found, capsys.readouterr().out.count(": finished before, kept")

    first, _ = trained()
    assert_searched(first, "head at 0.01, ")
    Kept("add_stem@as_published").clear()
    again, kept = trained()
    assert kept == 2
    assert same(first.head, again.head)
    Kept("add_stem@tested").clear()
    assert trained()[1] == 0


def test_features_behind_a_stem_have_all_views_of_train_frames() -> None:
    task = task_of(head="retrained")
    model = classifier.load(task.start)
    data = stems.behind_stem(model, task.settings)
    assert data.train.labels.tolist() == LABELS * 2
    assert np.allclose(data.validation.features, model.features(PIXELS).numpy(), atol=1e-6)
    assert len(data.test.labels) == 0
