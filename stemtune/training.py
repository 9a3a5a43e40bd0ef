"""Trains heads on embeddings and stems on frames, noting every epoch."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import pandas as pd
from tqdm import tqdm

from stemtune import models, stem
from stemtune.dataset import FrameBatches, Labelled
from stemtune.files import replacing
from stemtune.records import Epoch

HISTORY_FILE = "history.csv"
# Keras' names of metrics → ours.
METRICS = {
    "loss": "train_loss",
    "accuracy": "train_accuracy",
    "val_loss": "validation_loss",
    "val_accuracy": "validation_accuracy",
}


class EpochLog(keras.callbacks.Callback):
    """Notes the metrics and time of each epoch, and says them; a bar shows the batches."""

    def __init__(self, title: str, epochs: list[Epoch]) -> None:
        super().__init__()
        self._title, self._epochs = title, epochs

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._started = time.perf_counter()
        self._progress = tqdm(
            total=self.params["steps"], desc=self._title, unit="batch", leave=False, disable=None
        )

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._progress.update()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._progress.close()
        metrics = {METRICS[name]: float(value) for name, value in (logs or {}).items()}
        seconds = time.perf_counter() - self._started
        self._epochs.append(
            Epoch(epoch=epoch + 1, time=time.time(), seconds=seconds, metrics=metrics)
        )
        said = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        print(f"{self._title}: epoch {epoch + 1}/{self.params['epochs']}: {said}, {seconds:.1f} s")


def compile_model(model: keras.Model, learning_rate: float) -> None:
    """Sets Adam, cross-entropy and accuracy, as the paper has them.

    XLA stays off: it makes depthwise networks on processors many times slower.
    """
    model.compile(
        keras.optimizers.Adam(learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )


def train_head(
    head: keras.Model,
    train: Labelled,
    validation: Labelled,
    epochs: int,
    batch_size: int,
    title: str,
) -> list[Epoch]:
    """Trains a compiled head on features; returns its epochs."""
    done: list[Epoch] = []
    head.fit(
        train.features,
        train.labels,
        batch_size=batch_size,
        epochs=epochs,
        validation_data=tuple(validation),
        callbacks=[EpochLog(title, done)],
        verbose=0,
    )
    return done


def new_head(train: Labelled, classes: int, learning_rate: float, seed: int) -> keras.Model:
    """Returns a compiled head for these features, the same one for the same seed."""
    keras.utils.set_random_seed(seed)
    head = models.build_head(train.features.shape[1], classes)
    compile_model(head, learning_rate)
    return head


def train_stem(
    model: keras.Model,
    train: FrameBatches,
    validation: FrameBatches,
    learning_rate: float,
    epochs: int,
    title: str,
) -> list[Epoch]:
    """Trains the stem of a classifier; returns its epochs.

    Raises:
        AssertionError: Not just the stem's 528 parameters would be trained, or others changed.
    """
    trainable = models.parameters(model.trainable_variables)
    if trainable != stem.PARAMETERS:
        raise AssertionError(
            f"{title}: {trainable} parameters would be trained, not the stem's {stem.PARAMETERS}"
        )
    frozen = model.non_trainable_variables
    before = models.digest(frozen)
    compile_model(model, learning_rate)
    done: list[Epoch] = []
    model.fit(
        train,
        epochs=epochs,
        validation_data=validation,
        callbacks=[EpochLog(title, done)],
        shuffle=False,
        verbose=0,
    )
    if models.digest(frozen) != before:
        raise AssertionError(f"{title}: training changed weights behind the stem")
    return done


def write_history(epochs: Sequence[Epoch], folder: Path) -> None:
    """Writes a row per epoch with its metrics, without times, as `HISTORY_FILE` in the folder."""
    rows = [{"epoch": epoch.epoch, **epoch.metrics} for epoch in epochs]
    with replacing(folder / HISTORY_FILE) as beside:
        pd.DataFrame(rows).to_csv(beside, index=False, lineterminator="\n")
