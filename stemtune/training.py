"""What the training of heads and of stems has in common: the loss, and noting every epoch."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
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
        self._progress.update(batch + 1 - self._progress.n)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._progress.close()
        metrics = {METRICS[name]: float(value) for name, value in (logs or {}).items()}
        seconds = time.perf_counter() - self._started
        self._seen(Epoch(epoch=epoch + 1, time=time.time(), seconds=seconds, metrics=metrics))
        said = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        print(f"{self._title}: epoch {epoch + 1}/{self.params['epochs']}: {said}, {seconds:.1f} s")


class Trainer:
    """A model that is compiled once, with Adam, and trained any number of times.

    Compiling takes longer than a head's epochs. XLA stays off: it makes depthwise networks on
    processors many times slower, and it refuses the gradient of max pooling, which ResNet50 has,
    where operations have to be deterministic.
    """

    def __init__(
        self,
        model: keras.Model,
        loss: Any = CROSS_ENTROPY,
        metrics: Any = None,
        steps_per_execution: int = 1,
    ) -> None:
        """Compiles the model.

        Args:
            model: What is trained; its optimizer is not kept, so that its weights are all it
                stores.
            loss: As `keras.Model.compile` takes it.
            metrics: As `keras.Model.compile` takes them; None: the model's accuracy.
            steps_per_execution: Batches between which nothing can be noted; changes no result.
        """
        self.optimizer = keras.optimizers.Adam()
        self._model = keras.Model(model.inputs, model.output)
        self._model.compile(
            self.optimizer,
            loss=loss,
            metrics=metrics or ["accuracy"],
            jit_compile=False,
            steps_per_execution=steps_per_execution,
        )
        self.variables = self._model.trainable_variables
        self.optimizer.build(self.variables)

    def fit(
        self,
        learning_rate: float,
        *data: Any,
        title: str,
        seen: Callable[[Epoch], None],
        moments: Sequence[np.ndarray] | None = None,
        **settings: Any,
    ) -> None:
        """Trains the model from the weights that it has.

        Args:
            learning_rate: Adam's.
            data: As `keras.Model.fit` takes it.
            title: What is said to be trained.
            seen: Is given each epoch when it is over, with accuracy and loss on training and
                validation data.
            moments: Values of the optimizer's variables after earlier epochs, to go on from; None:
                those of a new Adam.
            settings: As `keras.Model.fit` takes them.
        """
        variables = self.optimizer.variables
        new = [np.zeros(variable.shape, variable.dtype) for variable in variables]
        for variable, value in zip(variables, moments or new, strict=True):
            variable.assign(value)
        self.optimizer.learning_rate = learning_rate
        self._model.fit(*data, callbacks=[EpochLog(title, seen)], verbose=0, **settings)


def write_history(epochs: Sequence[Epoch], folder: Path) -> None:
    """Writes a row per epoch with its metrics, without times, as `HISTORY_FILE` in the folder."""
    rows = [{"epoch": epoch.epoch, **epoch.metrics} for epoch in epochs]
    write_csv(folder / HISTORY_FILE, pd.DataFrame(rows))
