"""An epoch of a stem's training, against Keras' `fit` of the same model put together plainly.

Theirs has its frames in memory, ours reads them from the store. Same frames in the same order. Each
is in a process of its own, for a process has one choice of TensorFlow's kernels.
"""

import multiprocessing
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench import measuring
from bench.material import SETTINGS, fill_frame_store, packaged_or_random, read_all
from stemtune.core.results import Epoch
from stemtune.networks import reproducibility
from stemtune.store import manifest

if TYPE_CHECKING:
    from stemtune.networks.classifier import Classifier

# Struck: on processors with AVX-512, TensorFlow's own fit has oneDNN's gradients as well.
TARGET = None
SEED, PER_CLIP = 1, 4
RATE = 1e-4
# The first epoch of the first run compiles, and the second is timed.
EPOCHS = 2
# Of a loss: sums of another order, carried through Adam's square roots.
TOLERANCE = 1e-2


@dataclass(frozen=True)
class Size:
    """Frames by network, a quarter of them for validation; their side, px; the batch; and runs."""

    frames: dict[str, int]
    side: int
    batch: int
    runs: int


FULL = Size(
    {"efficientnet_lite0": 128, "resnet50": 64, "vgg16": 32},
    side=224,
    batch=SETTINGS.add_stem.batch_size,
    runs=3,
)
TINY = Size({"efficientnet_lite0": 16, "resnet50": 16, "vgg16": 16}, side=72, batch=8, runs=1)


def measure(size: Size) -> list[measuring.Row]:
    """Returns the rows `stem_epoch/<network>`, in seconds."""
    with _process(through_backbone=True) as fast, _process(through_backbone=False) as usual:
        return [_measure(name, count, size, fast, usual) for name, count in size.frames.items()]


def _measure(name: str, count: int, size: Size, fast: Any, usual: Any) -> measuring.Row:
    epochs: dict[str, list[Epoch]] = {}

    def last_epoch(side: str, run: Callable[[], list[Epoch]]) -> Callable[[], float]:
        def seconds() -> float:
            epochs[side] = run()
            return epochs[side][-1].seconds

        return seconds

    with tempfile.TemporaryDirectory() as temporary:
        store = Path(temporary)
        table = fill_frame_store(store, count, PER_CLIP, size.side)
        ours = fast.Ours(name, store, table, size)
        theirs = usual.Theirs(name, store, table, size)
        measured, plain = measuring.in_turns(
            size.runs, last_epoch("ours", ours.run), last_epoch("theirs", theirs.run)
        )
    _require_equal(name, epochs["ours"], epochs["theirs"])
    return measuring.of_times(
        f"stem_epoch/{name}",
        measured,
        plain,
        f"s, Keras' fit, {count} frames of {size.side} px, validation included",
        TARGET,
    )


def untrained_classifier(name: str, classes: int) -> "Classifier":
    """Returns a classifier with an untrained stem and an untrained head."""
    from stemtune.networks import backbones, classifier, stem
    from stemtune.training import heads

    network = backbones.concatenate([backbones.build(name, packaged_or_random(name), SEED)])
    head = heads.build(network.output_shape[-1], classes, SETTINGS.train_best.head, SEED)
    return classifier.Classifier(name, network, head, stem.build("average", 2, SEED))


class _Side(ABC):
    """A classifier with a stem, trained anew from the same start in each run."""

    def __init__(self, name: str, store: Path, table: pd.DataFrame, size: Size) -> None:
        self._classifier = untrained_classifier(name, table["label"].nunique())
        self._start = self._classifier.require_stem().get_weights()
        self._size, self._title = size, f"bench: {name}"
        self._take(store, table)

    def run(self) -> list[Epoch]:
        """Trains, and returns the epochs."""
        self._classifier.require_stem().set_weights(self._start)
        return self._train()

    @abstractmethod
    def _take(self, store: Path, table: pd.DataFrame) -> None:
        """Takes what is trained on: frames in a store, and their frame table."""

    @abstractmethod
    def _train(self) -> list[Epoch]:
        """Trains the stem from the weights that it has."""


class _Ours(_Side):
    def _take(self, store: Path, table: pd.DataFrame) -> None:
        from stemtune.training import dataset, stem_training

        self._trainer = stem_training.StemTrainer(
            self._classifier, self._size.side, objective="labels", joint=False
        )
        self._train_frames, self._validation = (
            dataset.FrameBatches(
                store, table[table["split"] == split], self._size.side, self._size.batch, None
            )
            for split in (manifest.TRAIN, manifest.VALIDATION)
        )

    def _train(self) -> list[Epoch]:
        epochs: list[Epoch] = []
        frames, validation = self._train_frames, self._validation
        self._trainer.train(
            frames, validation, RATE, EPOCHS, self._title, epochs.append, keep_best=False
        )
        return epochs


class _Theirs(_Side):
    def _take(self, store: Path, table: pd.DataFrame) -> None:
        pixels = read_all(store, table, self._size.side)
        labels = table["label"].to_numpy(np.int32)
        trained = (table["split"] == manifest.TRAIN).to_numpy()
        self._data = pixels[trained], labels[trained]
        self._validation = pixels[~trained], labels[~trained]
        self._compile()

    def _compile(self) -> None:
        import keras

        self._model = self._classifier.model
        self._classifier.head.trainable = False
        self._optimizer = keras.optimizers.Adam(RATE)
        self._model.compile(
            self._optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"]
        )
        self._optimizer.build(self._model.trainable_variables)
        self._new_optimizer = [variable.numpy() for variable in self._optimizer.variables]

    def _train(self) -> list[Epoch]:
        from stemtune.training import trainer

        epochs: list[Epoch] = []
        for variable, value in zip(self._optimizer.variables, self._new_optimizer, strict=True):
            variable.assign(value)
        self._model.fit(
            *self._data,
            batch_size=self._size.batch,
            epochs=EPOCHS,
            validation_data=self._validation,
            shuffle=False,
            verbose=0,
            callbacks=[trainer.EpochLog(self._title, epochs.append)],
        )
        return epochs


class _Process(BaseManager):
    """A process in which sides can be made."""


_Process.register("Ours", _Ours)
_Process.register("Theirs", _Theirs)


@contextmanager
def _process(through_backbone: bool) -> Iterator[Any]:
    """Yields a `_Process`, with TensorFlow configured as add_stem does, or as it is otherwise."""
    process = _Process(ctx=multiprocessing.get_context("spawn"))
    process.start(reproducibility.configure, (SETTINGS.runtime, through_backbone))
    try:
        yield process
    finally:
        process.shutdown()


def _require_equal(name: str, ours: list[Epoch], theirs: list[Epoch]) -> None:
    """Raises AssertionError unless both came to the same losses in every epoch."""
    for one, other in zip(ours, theirs, strict=True):
        for metric in ("train_loss", "validation_loss"):
            if not np.isclose(one.metrics[metric], other.metrics[metric], rtol=TOLERANCE, atol=0):
                raise AssertionError(
                    f"stem_epoch/{name}: {metric} of epoch {one.epoch} differs: ours "
                    f"{one.metrics[metric]}, theirs {other.metrics[metric]}"
                )
