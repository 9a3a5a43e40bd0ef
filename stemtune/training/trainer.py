"""What the training of heads and of stems has in common: the loss, and noting every epoch."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from tqdm import tqdm

from stemtune.core.files import write_csv
from stemtune.core.results import Epoch, Training

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

    def __init__(self, title: str, on_epoch: Callable[[Epoch], None]) -> None:
        super().__init__()
        self.epochs: list[Epoch] = []
        self._title, self._on_epoch_end = title, on_epoch

    def note_start(self, model: keras.Model, validation: Any) -> None:
        """Notes, as epoch 0, how the model validates before it is trained."""
        started = time.perf_counter()
        arrays = validation if isinstance(validation, tuple) else (validation,)
        found = model.evaluate(*arrays, verbose=0, return_dict=True)
        metrics = _ours({f"val_{name}": value for name, value in found.items()})
        self._note(0, metrics, time.perf_counter() - started)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._started = time.perf_counter()
        self._progress = tqdm(
            total=self.params["steps"], desc=self._title, unit="batch", leave=False, disable=None
        )

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._progress.update(batch + 1 - self._progress.n)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._progress.close()
        metrics = _ours(logs or {})
        self._note(epoch + 1, metrics, time.perf_counter() - self._started)

    def _note(self, epoch: int, metrics: dict[str, float], seconds: float) -> None:
        over = Epoch(epoch=epoch, time=time.time(), seconds=seconds, metrics=metrics)
        self.epochs.append(over)
        self._on_epoch_end(over)
        place = f"epoch {epoch}/{self.params['epochs']}" if epoch else "start"
        said = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        print(f"{self._title}: {place}: {said}, {seconds:.1f} s")


def _ours(logs: Mapping[str, Any]) -> dict[str, float]:
    """Returns Keras' metrics by our names, less the losses of single outputs."""
    return {METRICS[name]: float(value) for name, value in logs.items() if name in METRICS}


class _BestEpoch(keras.callbacks.Callback):
    """Keeps the weights of the epoch that validates best: by loss, then by accuracy."""

    def __init__(self, variables: Sequence[keras.Variable], epochs: Sequence[Epoch]) -> None:
        super().__init__()
        self.epoch = 0
        self._variables, self._epochs = variables, epochs
        self._best: tuple[float, float] | None = None
        self._weights: list[np.ndarray] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.look()

    def look(self) -> None:
        """Keeps the weights as they are if the last epoch is the best until now."""
        last = self._epochs[-1]
        found = (last.metrics["validation_loss"], -last.metrics["validation_accuracy"])
        if self._best is None or found < self._best:
            self._best, self.epoch = found, last.epoch
            self._weights = [variable.numpy() for variable in self._variables]

    def restore(self) -> None:
        """Gives the model the weights that were kept."""
        for variable, weights in zip(self._variables, self._weights, strict=True):
            variable.assign(weights)


class _CosineDecay(keras.callbacks.Callback):
    """Lowers an optimizer's learning rate to 0 along a cosine, a batch at a time."""

    def __init__(self, optimizer: keras.Optimizer, start: float, steps: int) -> None:
        super().__init__()
        self._optimizer, self._start, self._steps = optimizer, start, steps
        self._step = 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        share = min(self._step / self._steps, 1.0)
        self._optimizer.learning_rate = self._start * 0.5 * (1 + math.cos(math.pi * share))
        self._step += 1


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
        loss_weights: Any = None,
        clipnorm: float | None = None,
    ) -> None:
        """Compiles the model.

        Args:
            model: What is trained; its optimizer is not kept, so that its weights are all it
                stores.
            loss: As `keras.Model.compile` takes it.
            metrics: As `keras.Model.compile` takes them; None: the model's accuracy.
            steps_per_execution: Batches between which nothing can be noted; changes no result.
            loss_weights: As `keras.Model.compile` takes them.
            clipnorm: The largest norm that a variable's gradient may have; None: any.
        """
        self.optimizer = keras.optimizers.Adam(clipnorm=clipnorm)
        self._model = keras.Model(model.inputs, model.output)
        self._model.compile(
            self.optimizer,
            loss=loss,
            metrics=metrics or ["accuracy"],
            loss_weights=loss_weights,
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
        on_epoch: Callable[[Epoch], None],
        moments: Sequence[np.ndarray] | None = None,
        keep_best: bool = False,
        decay_steps: int | None = None,
        **settings: Any,
    ) -> Training:
        """Trains the model from the weights that it has, and returns what that came to.

        Args:
            learning_rate: Adam's.
            data: As `keras.Model.fit` takes it.
            title: What is said to be trained.
            on_epoch: Is given each epoch when it is over, with accuracy and loss on training and
                validation data.
            moments: Values of the optimizer's variables after earlier epochs, to go on from; None:
                those of a new Adam.
            keep_best: Whether the model ends with the weights of the epoch that validates best, its
                start included, not with those of the last.
            decay_steps: Batches in which the learning rate falls to 0 along a cosine (Loshchilov
                and Hutter, 2017); None: it stays.
            settings: As `keras.Model.fit` takes them.
        """
        variables = self.optimizer.variables
        new = [np.zeros(variable.shape, variable.dtype) for variable in variables]
        for variable, value in zip(variables, moments or new, strict=True):
            variable.assign(value)
        self.optimizer.learning_rate = learning_rate
        log = EpochLog(title, on_epoch)
        best = _BestEpoch(self.variables, log.epochs)
        if keep_best and not settings.get("initial_epoch"):
            log.note_start(self._model, settings["validation_data"])
            best.look()
        callbacks = [log, best] if keep_best else [log]
        if decay_steps:
            callbacks.append(_CosineDecay(self.optimizer, learning_rate, decay_steps))
        self._model.fit(*data, callbacks=callbacks, verbose=0, **settings)
        if keep_best:
            best.restore()
        return Training(
            learning_rate, log.epochs, best.epoch if keep_best else log.epochs[-1].epoch
        )


def write_history(epochs: Sequence[Epoch], folder: Path) -> None:
    """Writes a row per epoch with its metrics, without times, as `HISTORY_FILE` in the folder."""
    rows = [{"epoch": epoch.epoch, **epoch.metrics} for epoch in epochs]
    write_csv(folder / HISTORY_FILE, pd.DataFrame(rows))
