"""What the training of heads and of stems has in common: the loss, and noting every epoch."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import pandas as pd
from tqdm import tqdm

from stemtune.files import write_csv
from stemtune.records import Epoch

HISTORY_FILE = "history.csv"
# Keras' names of metrics → ours.
METRICS = {
    "loss": "train_loss",
    "accuracy": "train_accuracy",
    "classes_accuracy": "train_accuracy",
    "val_loss": "validation_loss",
    "val_accuracy": "validation_accuracy",
    "val_classes_accuracy": "validation_accuracy",
}
CROSS_ENTROPY = "sparse_categorical_crossentropy"


class EpochLog(keras.callbacks.Callback):
    """Notes the metrics and time of each epoch, and says them; a bar shows the batches."""

    def __init__(self, title: str, seen: Callable[[Epoch], None]) -> None:
        super().__init__()
        self._title, self._seen = title, seen

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
        self._seen(Epoch(epoch=epoch + 1, time=time.time(), seconds=seconds, metrics=metrics))
        said = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        print(f"{self._title}: epoch {epoch + 1}/{self.params['epochs']}: {said}, {seconds:.1f} s")


def fit(
    model: keras.Model,
    learning_rate: float,
    *data: Any,
    title: str,
    seen: Callable[[Epoch], None],
    loss: Any = CROSS_ENTROPY,
    metrics: Any = None,
    optimizer: keras.optimizers.Optimizer | None = None,
    **settings: Any,
) -> None:
    """Trains a model with Adam, on cross-entropy as the paper does or another loss.

    XLA stays off: it makes depthwise networks on processors many times slower, and it refuses the
    gradient of max pooling, which ResNet50 has, where operations have to be deterministic.

    Args:
        model: What is trained; its optimizer is not kept, so that its weights are all it stores.
        learning_rate: Adam's.
        data: As `keras.Model.fit` takes it.
        title: What is said to be trained.
        seen: Is given each epoch when it is over, with accuracy and loss on training and
            validation data.
        loss: As `keras.Model.compile` takes it.
        metrics: As `keras.Model.compile` takes them; None: the model's accuracy.
        optimizer: Adam with the moments of earlier epochs; None: a new one.
        settings: As `keras.Model.fit` takes them.
    """
    trainer = keras.Model(model.inputs, model.output)
    trainer.compile(
        optimizer or keras.optimizers.Adam(learning_rate),
        loss=loss,
        metrics=metrics or ["accuracy"],
        jit_compile=False,
    )
    trainer.fit(*data, callbacks=[EpochLog(title, seen)], verbose=0, **settings)


def write_history(epochs: Sequence[Epoch], folder: Path) -> None:
    """Writes a row per epoch with its metrics, without times, as `HISTORY_FILE` in the folder."""
    rows = [{"epoch": epoch.epoch, **epoch.metrics} for epoch in epochs]
    write_csv(folder / HISTORY_FILE, pd.DataFrame(rows))
