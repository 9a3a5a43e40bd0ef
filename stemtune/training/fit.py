"""Compiles and fits a Keras model, and keeps an epoch. Heads and stems both come here."""

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from stemtune.core import terminal
from stemtune.core.errors import InputError
from stemtune.core.files import write_csv
from stemtune.core.paths import HISTORY_FILE
from stemtune.core.results import Epoch, Training, Validated, has_diverged

# Keras' names of metrics → ours.
METRICS = {
    "loss": "train_loss",
    "accuracy": "train_accuracy",
    "val_loss": "validation_loss",
    "val_accuracy": "validation_accuracy",
}
# Set to 1, it has each epoch printed, and each training.
VERBOSE = "STEMTUNE_VERBOSE"
OnEpoch = Callable[[Epoch], None]


def fit(
    model: keras.Model,
    batches: Any,
    validation: Any,
    epochs: int,
    title: str,
    on_epoch: OnEpoch = lambda epoch: None,
    *,
    optimizer: keras.Optimizer,
    steps_per_execution: int = 1,
    initial_epoch: int = 0,
    keep_best: bool = False,
) -> Training:
    """Trains a model from the weights that it has, and leaves it with those of the kept epoch.

    XLA stays off: on processors it makes depthwise networks many times slower. It also refuses the
    deterministic gradient of max pooling, which ResNet50 has.

    Args:
        model: Its trainable variables are trained; it stays uncompiled.
        batches: To train on, as `keras.Model.fit` takes them, in their own order.
        validation: As `keras.Model.fit` takes it.
        epochs: The last epoch, counted from 1.
        title: Shown on the terminal while it runs, and with `STEMTUNE_VERBOSE=1` in a line for
            each epoch.
        on_epoch: Receives each epoch when it ends.
        optimizer: As `keras.Model.compile` takes it.
        steps_per_execution: As `keras.Model.compile` takes it.
        initial_epoch: As `keras.Model.fit` takes it.
        keep_best: Whether the model ends with the weights of the epoch with the lowest validation
            loss instead of the last epoch's. The random start is none: an untrained model that is
            unsure can have a lower loss than a trained one that is too sure.
    """
    # Or the model would store its optimizer with its weights.
    model = keras.Model(model.inputs, model.output)
    model.compile(
        optimizer,
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=steps_per_execution,
        jit_compile=False,
    )
    log = EpochLog(title, epochs, on_epoch)
    callbacks: list[keras.callbacks.Callback] = [log]
    if keep_best:
        callbacks.append(BestEpoch(epochs))
    model.fit(
        batches,
        epochs=epochs,
        initial_epoch=initial_epoch,
        validation_data=validation,
        shuffle=False,
        callbacks=callbacks,
        verbose=0,
    )
    kept = callbacks[-1].best_epoch + 1 if keep_best else epochs
    trained = Training(log.epochs, kept)
    log.sum_up(trained)
    return trained


class EpochLog(keras.callbacks.Callback):
    """Notes the metrics and time of each epoch, and moves the terminal's line with each batch."""

    def __init__(self, title: str, last: int, on_epoch: OnEpoch) -> None:
        super().__init__()
        self.epochs: list[Epoch] = []
        self._title, self._last, self._tell = title, last, on_epoch

    def sum_up(self, trained: Training) -> None:
        """Prints what the training came to, if each is asked for."""
        if os.environ.get(VERBOSE) != "1":
            return
        seconds = sum(epoch.seconds for epoch in self.epochs)
        kept = f"epoch {trained.kept} of {self._last} kept"
        print(f"{self._title}: {_words(trained.metrics)}; {kept}, {seconds:.1f} s", flush=True)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._started, self._share = time.perf_counter(), 0.0
        terminal.move(0, self._title)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if steps := self.params["steps"]:
            # Keras counts several batches as one step, as often as they run in one call.
            self._move(min(1.0, (batch + 1) / steps))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        # The number of batches may not be known.
        self._move(1.0)
        logs = {} if logs is None else logs
        if not all(np.isfinite(each).all() for each in self.model.trainable_variables):
            # Some kernels of ReLU turn NaN into 0, so the loss is finite again. `BestEpoch`, the
            # next callback, reads the same dictionary.
            logs |= dict.fromkeys({"loss", "val_loss"} & logs.keys(), math.nan)
        self._note(epoch + 1, logs, time.perf_counter() - self._started)

    def _move(self, share: float) -> None:
        terminal.move(share - self._share)
        self._share = share

    def _note(self, epoch: int, logs: Mapping[str, Any], seconds: float) -> None:
        metrics = {METRICS[name]: float(value) for name, value in logs.items() if name in METRICS}
        finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
        over = Epoch(epoch=epoch, time=time.time(), seconds=seconds, metrics=finite)
        self.epochs.append(over)
        self._tell(over)
        if os.environ.get(VERBOSE) == "1":
            place = f"epoch {epoch}/{self._last}"
            print(f"{self._title}: {place}: {_words(metrics)}, {seconds:.1f} s", flush=True)


def _words(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())


class BestEpoch(keras.callbacks.EarlyStopping):
    """Leaves the weights of the epoch with the lowest validation loss; it never stops early."""

    def __init__(self, epochs: int) -> None:
        super().__init__("val_loss", patience=epochs, mode="min", restore_best_weights=True)

    def on_train_begin(self, logs: Any = None) -> None:
        super().on_train_begin(logs)
        # Or a first epoch whose loss is not a number stays the best.
        self.best = math.inf


def require_convergence(trained: Validated, setting: str) -> None:
    """Raises InputError if a training diverged.

    Args:
        trained: With the metrics of the epoch that was kept.
        setting: Of params.yaml, that decides about the rate, by its dotted name.
    """
    if has_diverged(trained):
        raise InputError(
            f"training at the learning rate {trained.learning_rate:g} diverged: its "
            f"validation loss or its weights are not finite; give {setting} lower rates"
        )


def line(name: str, trained: Any) -> str:
    """Returns what a training came to, for the terminal.

    Args:
        name: Of the model.
        trained: A `TrainedHead` or `TrainedStem`.
    """
    training, accuracy = trained.training, trained.metrics["validation_accuracy"]
    return (
        f"{name}: validation accuracy {accuracy:.1%}, learning rate {trained.learning_rate:g}, "
        f"epoch {training.kept} of {training.epochs[-1].epoch}"
    )


def write_history(epochs: Sequence[Epoch], folder: Path) -> None:
    """Writes a row per epoch with its metrics, without times, as `HISTORY_FILE` in the folder."""
    rows = [{"epoch": epoch.epoch, **epoch.metrics} for epoch in epochs]
    write_csv(folder / HISTORY_FILE, pd.DataFrame(rows))
