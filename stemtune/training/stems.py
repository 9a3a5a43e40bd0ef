"""A variant of the stem: trained in front of a frozen backbone, alone or with a new head.

The stage calls `prepare` once and `train_variant` for each attempt, here or on other machines.
`stem_search.py` goes through the learning rates and says which attempt is kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from stemtune.core.params import Params
from stemtune.core.paths import BASELINE, EMBEDDINGS, FRAMES, MANIFEST, RETRAINED
from stemtune.core.records import Record
from stemtune.core.results import Training
from stemtune.core.settings.training import Attempt, Variant
from stemtune.core.views import view
from stemtune.networks import classifier as stored
from stemtune.networks import images, stem
from stemtune.networks.classifier import Classifier
from stemtune.store import manifest
from stemtune.training import dataset, fit, heads, objectives, rates
from stemtune.training.dataset import FrameBatches, Labelled, Splits
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
    """

    variant: str
    settings: Params

    @property
    def title(self) -> str:
        """Name of the stage."""
        return f"add_stem@{self.variant}"

    @property
    def chosen(self) -> Variant:
        """The variant's settings."""
        return self.settings.add_stem.variants[self.variant]

    @property
    def kept(self) -> Kept:
        """Finished trainings of heads, if the stage is killed."""
        return Kept(self.title)

    @property
    def start(self) -> Path:
        """Folder of the classifier that each attempt starts from."""
        return self.kept.folder / "start"


@dataclass(frozen=True)
class TrainedStem:
    """What an attempt came to.

    Attributes:
        training: Of the stem, and of the head if both train together.
        metrics: Of the classifier in the end, on training and validation frames.
        stem, head: Their weights.
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
        return self.attempt.learning_rate


def prepare(task: StemTask, tell: Tell) -> None:
    """Builds the classifier that all attempts start from, and stores it for them.

    If the head trains along, the classifier gets a head that was trained behind the untrained stem.
    Behind a stem that starts as a plain resize, that is the head that train_resized trained on the
    smallest frames that a stem makes.

    Args:
        task: The variant.
        tell: Shows the record of each training.
    """
    settings, chosen = task.settings, task.chosen
    built = _build(task, settings.runtime.seed)
    begun = replace(stored.load(BASELINE), name=task.variant, stem=built)
    divides = settings.extract_frames.size % settings.add_stem.downscale == 0
    joint_as_resize = chosen.head == "joint" and chosen.starts_as_resize and divides
    if chosen.head == "frozen_small" or joint_as_resize:
        begun = replace(begun, head=stored.load(RETRAINED / str(settings.small_side)).head)
    elif chosen.head == "joint":
        data = behind_stem(begun, settings)
        plans = heads.plans(settings, begun.classes, "head, ")
        found = heads.train(plans, data, task.title, tell, memory=task.kept)
        begun = replace(begun, head=found.head)
    stored.save_network(begun, task.start)


def train_variant(
    task: StemTask, attempt: Attempt, tell: Tell = lambda record: None
) -> TrainedStem:
    """Trains a stem once, and a new head behind it if the variant has one.

    How good the stem becomes differs between restarts by some points, and a lower validation loss
    goes with a better test accuracy.

    Args:
        task: That was prepared.
        attempt: Its learning rate and the seed of its order of frames.
        tell: Shows the record of each training, as it begins.
    """
    records: list[Record] = []

    def show(record: Record) -> None:
        records.append(record)
        tell(record)

    classifier = stored.load(task.start)
    if attempt.restart and task.chosen.start == "random" and task.chosen.head != "joint":
        # A head that trains along was trained behind the first start.
        begun = _build(task, attempt.seed(task.settings.runtime.seed))
        classifier.require_stem().set_weights(begun.get_weights())
    record = Record.start(f"{task.variant} {attempt}", attempt.params)
    show(record)
    training, death = _train_stem(task, attempt, classifier, record)
    record.metrics = dict(training.metrics)
    record.finish()
    metrics, head = training.metrics, classifier.head
    if not task.chosen.is_frozen:
        # A head that trained along continues from where it is; it stays if no epoch is better.
        start = head if task.chosen.head == "joint" else None
        name = f"head {'again ' if start else ''}{attempt}, "
        data = behind_stem(classifier, task.settings)
        plans = heads.plans(task.settings, classifier.classes, name, start)
        found = heads.train(plans, data, task.title, show, memory=task.kept)
        metrics, head = found.metrics, found.head
    weights = classifier.require_stem().get_weights(), head.get_weights()
    return TrainedStem(attempt, training, metrics, *weights, death, records)


def finished(task: StemTask, best: TrainedStem) -> Classifier:
    """Returns the classifier of an attempt."""
    classifier = stored.load(task.start)
    classifier.require_stem().set_weights(best.stem)
    classifier.head.set_weights(best.head)
    return classifier


def notes(tried: Sequence[TrainedStem], best: TrainedStem, setting: str) -> list[str]:
    """Returns what people should know of the attempts, in words.

    Args:
        tried: All attempts.
        best: The one whose stem is kept.
        setting: Of params.yaml, that holds the variant, by its dotted name.
    """
    lines = []
    for death in dict.fromkeys(each.death for each in tried if each.death):
        died = ", ".join(str(each.attempt) for each in tried if each.death == death)
        lines.append(f"the stem died {died}: {death}")
    if best.death:
        lines[0] += (
            f"; give {setting} other learning_rates, lower ones in most cases, or start: average"
        )
    if best.training.kept == 0:
        lines.append(
            "WARNING: kept the start: no epoch improved on it, so the stem is untrained; give "
            f"{setting} other learning_rates or more epochs"
        )
    elif len(tried) > 1:
        lines.append(f"kept the attempt {best.attempt}, the best on validation")
    different = list(dict.fromkeys(each.learning_rate for each in tried))
    if len(different) > 1:
        lines.append(rates.advice(different, best.learning_rate, f"{setting}.learning_rates"))
    return [line for line in lines if line]


def _build(task: StemTask, seed: int) -> keras.Model:
    """Returns the variant's stem, untrained."""
    chosen = task.chosen
    first, second = chosen.kernels
    return stem.build(
        chosen.start,
        task.settings.add_stem.downscale,
        seed,
        (first, second),
        pads=chosen.padding == "same",
    )


def behind_stem(classifier: Classifier, settings: Params) -> Splits:
    """Returns the features of train and validation frames behind a classifier's stem.

    Train frames are embedded in all augmented copies that `add_stem.retrained_head` asks for, or
    live if features are not cached. Test has none, since nothing that is trained may look at it.
    """
    size, batch_size = settings.extract_frames.size, settings.add_stem.batch_size
    compiled = tf.function(classifier.features, reduce_retracing=True)
    frames = manifest.frame_table(manifest.read(MANIFEST))

    def embed(batch: np.ndarray) -> np.ndarray:
        return compiled(batch).numpy()

    def of_split(split: str, views: int = 1) -> Labelled:
        rows = frames[frames["split"] == split]
        batches = FrameBatches(FRAMES, rows, size, batch_size, seed=None)
        parts = [
            embed(view(batches[number][0], one))
            for one in range(views)
            for number in range(batches.num_batches)
        ]
        return Labelled(np.concatenate(parts), np.tile(batches.labels, views))

    views, cached = settings.add_stem.retrained_head.views, settings.train_best.head.cached_features
    validation = of_split(manifest.VALIDATION)
    nothing = Labelled(validation.features[:0], validation.labels[:0])
    data = Splits(of_split(manifest.TRAIN, views if cached else 1), validation, nothing)
    return data if cached else dataset.embedded_live(data, lambda _: embed, settings, views)


def _train_stem(
    task: StemTask, attempt: Attempt, classifier: Classifier, record: Record
) -> tuple[Training, str]:
    """Trains the stem of a classifier, and its head if that trains along, and nothing else.

    Returns:
        The training, and what shows that the stem is dead.

    Raises:
        AssertionError: Other parameters would be trained.
    """
    chosen, size = task.chosen, task.settings.extract_frames.size
    epochs = chosen.epochs or task.settings.add_stem.epochs
    classifier.head.trainable = chosen.head == "joint"
    inputs = keras.Input((size, size, 3), dtype="uint8")
    outputs = classifier(inputs)
    if chosen.objective != "labels":
        outputs = {"classes": outputs, "teacher": outputs}
    model = keras.Model(inputs, outputs)
    trainable = sum(variable.numpy().size for variable in model.trainable_variables)
    meant = stem.PARAMETERS + (classifier.head.count_params() if classifier.head.trainable else 0)
    if trainable != meant:
        raise AssertionError(f"{trainable} parameters would be trained, not {meant}")
    frames, validation = _batches(task, attempt)
    rate = attempt.learning_rate
    if chosen.decay == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, epochs * frames.num_batches)
    training = fit.fit(
        model,
        frames.stream(),
        validation.stream(),
        epochs,
        f"{task.title} {attempt}",
        record.add,
        keep_best=chosen.keep_epoch == "best",
        optimizer=keras.optimizers.Adam(rate, clipnorm=chosen.clipnorm),
        **objectives.OBJECTIVES[chosen.objective],
    )
    return training, _death(classifier.require_stem(), frames, validation, training)


def _batches(task: StemTask, attempt: Attempt) -> tuple[FrameBatches, FrameBatches]:
    """Returns the batches to train on, in the attempt's order, and those to validate on."""
    settings, chosen, table = task.settings, task.chosen, manifest.read(MANIFEST)
    rows = manifest.frame_table(table)
    size, batch_size = settings.extract_frames.size, settings.add_stem.batch_size
    head = None if chosen.objective == "labels" else stored.load(BASELINE).head

    def batches(split: str, seed: int | None, views: int) -> FrameBatches:
        part, teacher = rows[rows["split"] == split], None
        if head:
            backbones = settings.embed_frames.backbones
            known = dataset.load_features(EMBEDDINGS, backbones, size, part)
            teacher = heads.predict(head, known.features)
        return FrameBatches(FRAMES, part, size, batch_size, seed, teacher, views)

    order = attempt.seed(settings.runtime.seed)
    return batches(manifest.TRAIN, order, chosen.views), batches(manifest.VALIDATION, None, 1)


def _death(
    built: keras.Model, frames: FrameBatches, validation: FrameBatches, training: Training
) -> str:
    """Returns in words what shows that the stem is dead; "" for one that is alive."""
    shown = (validation[number][0] for number in range(validation.num_batches))
    if not any(built(images.unit_range(batch)).numpy().any() for batch in shown):
        return "its output is zero everywhere, so every frame gets the same answer"
    accuracies = [epoch.metrics["train_accuracy"] for epoch in training.epochs if epoch.epoch]
    chance = np.bincount(frames.labels).max() / len(frames.labels)
    if len({*accuracies}) == 1 < len(accuracies) and accuracies[0] < chance + TOLERANCE:
        return (
            f"training accuracy stayed at {accuracies[0]:.2%} in all {len(accuracies)} epochs, and "
            f"the same answer to every frame gives {chance:.2%}"
        )
    return ""
