"""The search on cached features, against Keras Tuner over the whole network, as the paper did it.

Same frames, same seeds, same head; the accuracies of each epoch of each trial have to agree.
"""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bench import measuring
from bench.material import SETTINGS, fill_frame_store, packaged_or_random, read_all
from stemtune.networks import reproducibility
from stemtune.store import manifest

if TYPE_CHECKING:
    import keras

    from stemtune.training.dataset import Splits

TARGET = 10.0
SEED, PER_CLIP = 1, 4
BACKBONE = "efficientnet_lite0"
# Accuracies are counts of frames over all; a frame on the edge between classes might tip over.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Size:
    """Frames for the search, of which side, px; rates; and runs."""

    frames: int
    side: int
    rates: tuple[float, ...]
    runs: int


# The paper's rates.
FULL = Size(
    frames=768,
    side=224,
    rates=(1e-2, 1e-3, 1e-4, 1e-5),
    runs=1,
)
TINY = Size(frames=32, side=48, rates=(1e-2, 1e-4), runs=1)


def measure(size: Size) -> list[measuring.Row]:
    """Returns the row `search`, in seconds."""
    reproducibility.configure(SETTINGS.runtime)
    from stemtune.networks import backbones

    network = backbones.build(BACKBONE, packaged_or_random(BACKBONE), SEED)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        table = fill_frame_store(folder / "frames", size.frames, PER_CLIP, size.side)
        pixels = read_all(folder / "frames", table, size.side)
        ours = _Ours(folder, table, size, network)
        theirs = _Theirs(table, pixels, size.rates, network)
        measured, plain = measuring.in_turns(
            size.runs,
            lambda: measuring.seconds(ours.run),
            lambda: measuring.seconds(lambda: theirs.run(folder / "plain")),
        )
        _require_equal(ours.accuracies, theirs.accuracies)
        return [
            measuring.of_times(
                "search",
                measured,
                plain,
                f"s, Keras Tuner and fit through {BACKBONE}, {len(table)} frames of {size.side} "
                f"px, {len(size.rates)} rates x {SETTINGS.tune_lr.epochs} epochs",
                TARGET,
            )
        ]


class _Ours:
    """Embeds all frames, then searches on their features."""

    def __init__(
        self, folder: Path, table: pd.DataFrame, size: Size, network: "keras.Model"
    ) -> None:
        self._folder, self._table, self._network = folder, table, network
        self._side, self._rates = size.side, list(size.rates)
        self.accuracies: dict[float, list[tuple[float, float]]] = {}

    def run(self) -> None:
        """Makes features and searches, with nothing left of an earlier run."""
        self.embed()
        self.tune(self.load())

    def embed(self) -> None:
        from stemtune.networks import backbones
        from stemtune.store import embeddings

        home = self._folder / "embeddings"
        shutil.rmtree(home, ignore_errors=True)
        identity = embeddings.Identity(self._network.output_shape[-1], "", SETTINGS.runtime.threads)
        embeddings.prepare(home, BACKBONE, identity, [self._side])
        embed = backbones.embedder(self._network, PER_CLIP, self._side, self._side)
        target = embeddings.Target(embeddings.side_folder(home, BACKBONE, self._side), self._side)
        lacking = {key: [target] for key in self._table["shard"].unique()}
        embeddings.fill(self._folder / "frames", self._side, lacking, lambda _: embed)

    def load(self) -> "Splits":
        from stemtune.training import dataset

        train, validation = (
            dataset.load_features(
                self._folder / "embeddings",
                [BACKBONE],
                self._side,
                self._table[self._table["split"] == split],
            )
            for split in (manifest.TRAIN, manifest.VALIDATION)
        )
        return dataset.Splits(train, validation, validation)

    def tune(self, data: "Splits") -> None:
        from stemtune.training.kept import Kept
        from stemtune.training.lr_search import LearningRateSearch

        kept = Kept(str((self._folder / "search").absolute()))
        changed = {"seeds": [SEED], "learning_rates": self._rates}
        tune_lr = SETTINGS.tune_lr.model_copy(update=changed)
        settings = SETTINGS.model_copy(update={"tune_lr": tune_lr})
        search = LearningRateSearch(settings, data, self._table["label"].nunique(), kept)
        search.search()
        kept.clear()
        self.accuracies = {
            trial.learning_rate: [
                (epoch.metrics["train_accuracy"], epoch.metrics["validation_accuracy"])
                for epoch in trial.history
            ]
            for trial in search.trials
        }


class _Theirs:
    """Trains the head through the frozen network, on frames in memory."""

    def __init__(
        self,
        table: pd.DataFrame,
        pixels: np.ndarray,
        rates: Sequence[float],
        network: "keras.Model",
    ) -> None:
        trained = (table["split"] == manifest.TRAIN).to_numpy()
        labels = table["label"].to_numpy(np.int32)
        self._train = pixels[trained], labels[trained]
        self._validation = pixels[~trained], labels[~trained]
        self._classes, self._network = table["label"].nunique(), network
        self._rates = list(rates)
        self.accuracies: dict[float, list[tuple[float, float]]] = {}

    def run(self, folder: Path) -> None:
        """Searches as Keras Tuner's own guide has it."""
        import keras
        import keras_tuner

        from stemtune.networks import seeds
        from stemtune.training import heads
        from stemtune.training.dataset import Labelled

        seen: dict[float, list[tuple[float, float]]] = {}
        rates = self._rates

        class Accuracies(keras.callbacks.Callback):
            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                rate = float(self.model.optimizer.learning_rate)
                nearest = min(rates, key=lambda one: abs(one - rate))

                seen.setdefault(nearest, []).append((logs["accuracy"], logs["val_accuracy"]))

        class Network(keras_tuner.HyperModel):
            """The network with the head, the order and the start that ours has."""

            def build(hyper, space: Any) -> keras.Model:
                frames = keras.Input(self._train[0].shape[1:], dtype="uint8")
                features = self._network(keras.layers.Rescaling(1 / 255)(frames), training=False)
                head = heads.build(
                    features.shape[-1], self._classes, SETTINGS.train_best.head, SEED
                )
                model = keras.Model(frames, head(features))
                model.compile(
                    keras.optimizers.Adam(space.Choice("learning_rate", rates)),
                    loss="sparse_categorical_crossentropy",
                    metrics=["accuracy"],
                )
                return model

            def fit(hyper, space: Any, model: keras.Model, **settings: Any) -> Any:
                order = seeds.of(SEED, "order from 0")
                shown = Labelled(*self._train).shuffled(SETTINGS.tune_lr.batch_size, order)
                return model.fit(shown, **settings)

        tuner = keras_tuner.BayesianOptimization(
            Network(),
            "val_accuracy",
            max_trials=len(rates),
            num_initial_points=len(rates),
            seed=SETTINGS.runtime.seed,
            directory=folder,
            overwrite=True,
        )
        tuner.search(
            epochs=SETTINGS.tune_lr.epochs,
            validation_data=self._validation,
            callbacks=[Accuracies()],
            verbose=0,
        )
        self.accuracies = seen


def _require_equal(
    ours: dict[float, list[tuple[float, float]]], theirs: dict[float, list[tuple[float, float]]]
) -> None:
    """Raises AssertionError unless both tried the same rates and saw the same in every epoch."""
    if sorted(ours) != sorted(theirs):
        raise AssertionError(f"search: ours tried {sorted(ours)}, theirs {sorted(theirs)}")
    for rate, accuracies in ours.items():
        if not np.allclose(accuracies, theirs[rate], rtol=0, atol=TOLERANCE):
            raise AssertionError(
                f"search: at rate {rate} the accuracies (train, validation) by epoch differ: "
                f"ours {accuracies}, theirs {theirs[rate]}"
            )
