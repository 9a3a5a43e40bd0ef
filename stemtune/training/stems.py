"""A stem is trained in front of a frozen backbone and a frozen head, as in the paper.

The stage calls `train` for each learning rate, here or on other machines, and keeps the `best`.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import keras
import numpy as np

from stemtune.core.params import Params
from stemtune.core.paths import BASELINE, FRAMES, MANIFEST, RETRAINED
from stemtune.core.records import Record
from stemtune.core.results import Training, by_accuracy, has_diverged
from stemtune.networks import classifier as stored
from stemtune.networks import images, stem
from stemtune.networks.classifier import Classifier
from stemtune.store import manifest
from stemtune.training import fit, rates
from stemtune.training.dataset import FrameBatches
from stemtune.training.progress import Tell, add, nobody

# Keras counts accuracy in single precision.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class StemTask:
    """A variant of the stem; it can be pickled.

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


class TrainedStem(NamedTuple):
    """A stem that was trained at one learning rate.

    Attributes:
        weights: The stem's.
        death: What shows that the stem is dead, in words; "" for one that is alive.
    """

    learning_rate: float
    training: Training
    weights: Sequence[np.ndarray]
    death: str

    @property
    def metrics(self) -> Mapping[str, float]:
        """Of the classifier, on training and validation frames."""
        return self.training.metrics


def begin(task: StemTask) -> Classifier:
    """Returns the variant's classifier, with an untrained stem in front.

    Its head is frozen: the baseline's, or the one that train_resized trained on frames as small as
    the stem makes them.
    """
    settings = task.settings
    found = stored.load(BASELINE)
    if settings.add_stem.variants[task.variant].head == "frozen_small":
        resized = stored.load(RETRAINED / str(settings.small_side))
        found = replace(found, head=resized.head)
    built = stem.build(settings.add_stem.downscale, settings.runtime.seed)
    return replace(found, name=task.variant, stem=built)


def train(task: StemTask, rate: float, tell: Tell = nobody) -> TrainedStem:
    """Trains a variant's stem, and nothing else, for the epochs of `add_stem`.

    Args:
        task: The variant.
        rate: Adam's learning rate.
        tell: Receives the record of the training as it begins, after each epoch and at its end.

    Raises:
        AssertionError: Other parameters would be trained.
    """
    settings, classifier = task.settings, begin(task)
    record = Record.start(f"{task.variant} at {rate}", {"learning_rate": rate})
    tell(record)
    classifier.head.trainable = False
    size = settings.extract_frames.size
    inputs = keras.Input((size, size, 3), dtype="uint8")
    model = keras.Model(inputs, classifier(inputs))
    trainable = sum(variable.numpy().size for variable in model.trainable_variables)
    if trainable != stem.PARAMETERS:
        raise AssertionError(f"{trainable} parameters would be trained, not {stem.PARAMETERS}")
    rows = manifest.frame_table(manifest.read(MANIFEST))

    def batches(split: str, seed: int | None) -> FrameBatches:
        part = rows[rows["split"] == split]
        return FrameBatches(FRAMES, part, size, settings.add_stem.batch_size, seed)

    frames = batches(manifest.TRAIN, settings.runtime.seed)
    validation = batches(manifest.VALIDATION, None)
    training = fit.fit(
        model,
        frames.stream(),
        validation.stream(),
        settings.add_stem.epochs,
        f"{task.title} at {rate}",
        partial(add, record, tell),
        optimizer=keras.optimizers.Adam(rate),
    )
    record.metrics = dict(training.metrics)
    record.finish()
    tell(record)
    built = classifier.require_stem()
    death = _death(built, frames, validation, training)
    return TrainedStem(rate, training, built.get_weights(), death)


def best(tried: Sequence[TrainedStem]) -> TrainedStem:
    """Returns the stem with the highest validation accuracy, by which the paper chooses a rate.

    By loss, a stem whose answers are near to guessing can be before a better one whose answers are
    too sure.
    """
    return min(tried, key=by_accuracy)


def finished(task: StemTask, trained: TrainedStem) -> Classifier:
    """Returns the variant's classifier with a trained stem."""
    classifier = begin(task)
    classifier.require_stem().set_weights(trained.weights)
    return classifier


def notes(tried: Sequence[TrainedStem], best: TrainedStem, setting: str) -> list[str]:
    """Returns what people should know of the trainings, in words.

    Args:
        tried: One at each learning rate.
        best: The one whose stem is kept.
        setting: Of params.yaml, that holds the learning rates, by its dotted name.
    """
    lines = []
    if diverged := [f"{each.learning_rate:g}" for each in tried if has_diverged(each)]:
        lines.append(f"training diverged at {', '.join(diverged)}: loss or weights are not finite")
    sound = [each for each in tried if not has_diverged(each)]
    for death in dict.fromkeys(each.death for each in sound if each.death):
        died = ", ".join(f"{each.learning_rate:g}" for each in sound if each.death == death)
        lines.append(f"the stem died at {died}: {death}")
    if best.death:
        lines[-1] += f"; give {setting} others, lower ones in most cases"
    elif told := rates.advice([each.learning_rate for each in tried], best.learning_rate, setting):
        lines.append(told)
    return lines


def _death(
    built: keras.Model, frames: FrameBatches, validation: FrameBatches, training: Training
) -> str:
    """Returns in words what shows that the stem is dead; "" for one that is alive."""
    shown = (validation[number][0] for number in range(validation.num_batches))
    if not any(built(images.unit_range(batch)).numpy().any() for batch in shown):
        return "its output is zero everywhere, so every frame gets the same answer"
    epochs = training.epochs
    if len(epochs) > 1 and all(
        _is_one_answer({epoch.metrics[f"{split}_accuracy"] for epoch in epochs}, labels)
        for split, labels in (("train", frames.labels), ("validation", validation.labels))
    ):
        accuracy = epochs[0].metrics["train_accuracy"]
        return (
            f"training accuracy stayed at {accuracy:.2%} in all {len(epochs)} epochs, as if every "
            "frame got the same answer"
        )
    return ""


def _is_one_answer(accuracies: Set[float], labels: np.ndarray) -> bool:
    """Returns whether epochs' accuracies are all the share that one class has of the labels."""
    shares = np.bincount(labels) / len(labels)
    return len(accuracies) == 1 and bool(np.isclose(shares, [*accuracies], atol=TOLERANCE).any())
