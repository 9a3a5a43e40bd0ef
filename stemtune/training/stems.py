"""A variant of the stem: trained in front of a frozen backbone, alone or with a new head.

The stages call `prepare` once and `train_variant` for each attempt, here or on other machines, and
keep the attempt with the lowest validation loss.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from stemtune.core import files
from stemtune.core.params import Params
from stemtune.core.paths import BASELINE, EMBEDDINGS, FRAMES, MANIFEST, RETRAINED
from stemtune.core.records import Record
from stemtune.core.results import Training
from stemtune.core.settings.training import Attempt, Variant
from stemtune.networks import classifier as stored
from stemtune.networks import images, stem
from stemtune.networks.classifier import Classifier
from stemtune.networks.cost import count_parameters
from stemtune.store import manifest
from stemtune.training import behind_stem, dataset, fit, heads, objectives, rates
from stemtune.training.dataset import FrameBatches
from stemtune.training.heads import Tell
from stemtune.training.kept import Kept

# Keras counts accuracy in single precision.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class StemTask:
    """What all attempts at a variant have in common; it can be pickled.

    Attributes:
        variant: Its name in `add_stem.variants`.
        settings: The content of params.yaml.
        start: Folder of the classifier that each attempt starts from.
    """

    variant: str
    settings: Params
    start: Path

    @property
    def title(self) -> str:
        """Name of the stage."""
        return f"add_stem@{self.variant}"

    @property
    def chosen(self) -> Variant:
        """The variant's settings."""
        return self.settings.add_stem.variants[self.variant]


@dataclass(frozen=True)
class TrainedStem:
    """What an attempt came to.

    Attributes:
        attempt: Which.
        training: Of the stem, and of the head if both train together.
        metrics: Of the classifier in the end, on training and validation frames.
        stem: Weights of the stem.
        head: Weights of the head.
        death: What shows that the stem is dead, in words; "" for one that is alive.
        records: Of this training, and of those of a new head.
    """

    attempt: Attempt
    training: Training
    metrics: Mapping[str, float]
    stem: Sequence[np.ndarray]
    head: Sequence[np.ndarray]
    death: str
    records: Sequence[Record]

    @property
    def learning_rate(self) -> float:
        """Adam's, of the stem."""
        return self.training.learning_rate


def prepare(variant: str, settings: Params, kept: Kept, tell: Tell) -> StemTask:
    """Builds the classifier that all attempts start from, and stores it for them.

    If the head trains along, the classifier gets a head that was trained behind the untrained stem.
    Behind a stem that starts as a plain resize, that is the head that train_resized trained.

    Args:
        variant: A name in `add_stem.variants`.
        settings: The content of params.yaml.
        kept: Trainings that a killed stage finished; the start is stored beside them.
        tell: Shows the record of each training.
    """
    add_stem = settings.add_stem
    task = StemTask(variant, settings, kept.folder / "start")
    first, second = task.chosen.kernels
    pads, seed = task.chosen.padding == "same", settings.runtime.seed
    built = stem.build(task.chosen.start, add_stem.downscale, seed, (first, second), pads)
    begun = replace(stored.load(BASELINE), name=variant, stem=built)
    if task.chosen.head == "joint" and task.chosen.starts_as_resize:
        resized = stored.load(RETRAINED / str(settings.small_side))
        begun = replace(begun, head=resized.head)
    elif task.chosen.head == "joint":
        table = manifest.read(MANIFEST)
        data = behind_stem.features(begun, table, settings)
        plans = heads.plans(settings, len(manifest.classes(table)), "head, ")
        train = partial(heads.train, data=data, title=task.title, tell=tell, kept=kept)
        found = heads.best(list(map(train, plans)), plans[0], data.features)
        begun = replace(begun, head=found.head)
    stored.save_network(begun, task.start)
    return task


def train_variant(
    task: StemTask, attempt: Attempt, tell: Tell = lambda record: None
) -> TrainedStem:
    """Trains a stem once, and a new head behind it if the variant has one.

    How good the stem becomes differs between restarts by some points, and a lower validation loss
    goes with a better test accuracy.

    Args:
        task: From `prepare`.
        attempt: Its learning rate and the seed of its order of frames.
        tell: Shows the record of each training, as it begins.
    """
    records: list[Record] = []

    def show(record: Record) -> None:
        records.append(record)
        tell(record)

    classifier, table = stored.load(task.start), manifest.read(MANIFEST)
    classifier = replace(classifier, name=task.variant)
    child = Record.start(f"{task.variant} {attempt}", attempt.params)
    show(child)
    training, death = _train_stem(task, attempt, classifier, table, child)
    child.metrics = dict(training.metrics)
    child.finish()
    metrics, head = training.metrics, classifier.head
    if task.chosen.head != "frozen":
        # A head that trained along continues from where it is; it stays if no epoch is better.
        start = head if task.chosen.head == "joint" else None
        name = f"head {'again ' if start else ''}{attempt}, "
        data = behind_stem.features(classifier, table, task.settings)
        plans = heads.plans(task.settings, len(manifest.classes(table)), name, start)
        train = partial(heads.train, data=data, title=task.title, tell=show, kept=Kept(task.title))
        found = heads.best(list(map(train, plans)), plans[0], data.features)
        metrics, head = found.training.metrics, found.head
    weights = classifier.require_stem().get_weights(), head.get_weights()
    return TrainedStem(attempt, training, metrics, *weights, death, records)


def finished(task: StemTask, best: TrainedStem) -> Classifier:
    """Returns the classifier of an attempt."""
    classifier = stored.load(task.start)
    classifier.require_stem().set_weights(best.stem)
    classifier.head.set_weights(best.head)
    return replace(classifier, name=task.variant)


def notes(tried: Sequence[TrainedStem], best: TrainedStem, setting: str) -> list[str]:
    """Returns what people should know of the attempts, in words.

    Args:
        tried: All attempts.
        best: The one whose stem is kept.
        setting: Of params.yaml, that holds the variant, by its dotted name.
    """
    lines = [
        f"the stem died {each.attempt}: {each.death}; give {setting} other learning_rates, lower "
        "ones in most cases, or start: average"
        for each in tried
        if each.death
    ]
    if len(tried) > 1:
        lines.append(f"kept the attempt {best.attempt}, which has the lowest validation loss")
    if best.training.kept == 0:
        lines.append("no epoch improved on the start, so the start was kept")
    different = list(dict.fromkeys(each.learning_rate for each in tried))
    if len(different) > 1:
        lines.append(rates.advice(different, best.learning_rate, f"{setting}.learning_rates"))
    return [line for line in lines if line]


def _train_stem(
    task: StemTask, attempt: Attempt, classifier: Classifier, table: pd.DataFrame, child: Record
) -> tuple[Training, str]:
    """Trains the stem of a classifier, and its head if that trains along, and nothing else.

    Returns:
        The training, and what shows that the stem is dead.

    Raises:
        AssertionError: Other parameters would be trained, or something that is frozen changed.
    """
    chosen, add_stem, joint = task.chosen, task.settings.add_stem, task.chosen.head == "joint"
    classifier.head.trainable = joint
    frozen = [classifier.backbone] if joint else [classifier.backbone, classifier.head]
    size = task.settings.extract_frames.size
    inputs = keras.Input((size, size, 3), dtype="uint8")
    outputs = classifier(inputs)
    if chosen.objective != "labels":
        outputs = {"classes": outputs, "teacher": outputs}
    model = keras.Model(inputs, outputs)
    meant = stem.PARAMETERS + (classifier.head.count_params() if joint else 0)
    if (trainable := count_parameters(model.trainable_variables)) != meant:
        raise AssertionError(f"{trainable} parameters would be trained, not {meant}")
    frames, validation = _batches(task, attempt, table)
    before, title = _digest(frozen), f"{task.title} {attempt}"
    training = fit.fit(
        model,
        frames.stream(),
        validation.stream(),
        fit.Plan(
            attempt.learning_rate,
            chosen.epochs or add_stem.epochs,
            keep_best=chosen.keep_epoch == "best",
            decay=chosen.decay == "cosine",
            clipnorm=chosen.clipnorm,
        ),
        title,
        child.add,
        **objectives.OBJECTIVES[chosen.objective],
    ).training
    if _digest(frozen) != before:
        raise AssertionError(f"{title}: training changed weights that are frozen")
    return training, _death(classifier.require_stem(), frames, validation, training)


def _batches(
    task: StemTask, attempt: Attempt, table: pd.DataFrame
) -> tuple[FrameBatches, FrameBatches]:
    """Returns the batches to train on, in the attempt's order, and those to validate on."""
    settings, chosen = task.settings, task.chosen
    rows = manifest.frame_table(table)
    teacher: Mapping[str, np.ndarray] = {}
    if chosen.objective != "labels":
        backbones, side = settings.embed_frames.backbones, settings.trained_side
        known = dataset.load_embedded(EMBEDDINGS, backbones, side, table)
        head = stored.load(BASELINE).head
        parts = {manifest.TRAIN: known.train, manifest.VALIDATION: known.validation}
        teacher = {split: heads.predict(head, part.features) for split, part in parts.items()}
    seeds = {manifest.TRAIN: attempt.order_seed(settings.runtime.seed), manifest.VALIDATION: None}
    train, validation = (
        FrameBatches(
            FRAMES,
            rows[rows["split"] == split],
            settings.extract_frames.size,
            settings.add_stem.batch_size,
            seed,
            teacher.get(split),
            chosen.views if split == manifest.TRAIN else 1,
        )
        for split, seed in seeds.items()
    )
    return train, validation


def _death(
    built: keras.Model, frames: FrameBatches, validation: FrameBatches, training: Training
) -> str:
    """Returns in words what shows that the stem is dead; "" for one that is alive."""
    shown = (validation[number][0] for number in range(validation.num_batches))
    if not any(built(images.unit_range(batch)).numpy().any() for batch in shown):
        return "its output is zero everywhere, so every frame gets the same answer"
    trained = [epoch for epoch in training.epochs if epoch.epoch]
    accuracies = {epoch.metrics["train_accuracy"] for epoch in trained}
    highest, chance = max(accuracies), frames.share_of_one_class
    if len(trained) > 1 and len(accuracies) == 1 and highest < chance + TOLERANCE:
        return (
            f"training accuracy stayed at {highest:.2%} in all {len(trained)} epochs, and the "
            f"same answer to every frame gives {chance:.2%}"
        )
    return ""


def _digest(parts: Sequence[keras.Model]) -> str:
    return files.digest(*(variable.numpy() for part in parts for variable in part.variables))
