"""The models that evaluate compares: each with its answers on the test frames and its cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from stemtune import heads, images, models, training
from stemtune.dataset import FrameBatches, Labelled, Splits
from stemtune.params import TrainBest
from stemtune.records import Epoch

RESIZE_RETRAINED = "resize_retrained"


@dataclass(frozen=True)
class Candidate:
    """One model in the comparison.

    Attributes:
        probabilities: (test frames, classes), in [0, 1].
        predict: From stored frames (n, size, size, 3), uint8, to probabilities; what is timed.
        model: The classifier behind it.
        trained: How many parameters were trained for it.
        input_size: Side of the frames that the model takes, px.
    """

    probabilities: np.ndarray
    predict: models.Predict
    model: keras.Model
    trained: int
    input_size: int

    def counts(self) -> dict[str, int]:
        """Returns parameters and operations as metrics/evaluate.json names them."""
        return {
            "trainable_params": self.trained,
            "total_params": self.model.count_params(),
            "flops_per_frame": models.flops(self.model, self.input_size),
            "input_size": self.input_size,
        }


def on_features(
    model: keras.Model, test: Labelled, size: int, side: int, trained: int
) -> Candidate:
    """Returns a classifier without stem, judged by the features that its backbone gave before.

    Args:
        model: The classifier.
        test: Features of the test frames, seen at `side`.
        size: Side of the stored frames, px.
        side: To which they are resized before the model sees them, px.
        trained: How many parameters were trained for it.
    """
    probabilities = heads.predict(model.get_layer("head"), test.features)
    predict = models.predictor(model, None if side == size else side)
    return Candidate(probabilities, predict, model, trained, side)


def resized(frames: np.ndarray, side: int) -> np.ndarray:
    """Returns stored frames (n, h, w, 3), uint8, resized by area, uint8."""
    small = images.resize(images.unit_range(frames), side).numpy()
    return (255 * small).round().astype(np.uint8)


def handed_on(model: keras.Model, frames: np.ndarray) -> np.ndarray:
    """Returns what the stem of a classifier makes of stored frames (n, h, w, 3), uint8."""
    return model.get_layer("stem")(images.unit_range(frames)).numpy()


def kernels(stem: keras.Model) -> list[np.ndarray]:
    """Returns the kernels (h, w, 3, 3) of a stem's convolutions, first to last."""
    return [layer.kernel.numpy() for layer in stem.layers if isinstance(layer, keras.layers.Conv2D)]


def on_frames(model: keras.Model, test: FrameBatches, size: int) -> Candidate:
    """Returns a classifier with a stem, judged on the stored test frames of side `size`."""
    predict = models.predictor(model)
    probabilities = np.concatenate([predict(test[batch][0]) for batch in range(test.num_batches)])
    trained = models.parameters(model.get_layer("stem").trainable_variables)
    return Candidate(probabilities, predict, model, trained, size)


def retrain_head(
    baseline: keras.Model, data: Splits, params: TrainBest, learning_rate: float, seed: int
) -> tuple[keras.Model, list[Epoch]]:
    """Trains a new head on other features of the baseline's backbone, as the baseline's was.

    Returns:
        The classifier with the new head, and the epochs of its training.
    """
    head = heads.new(data.train.features.shape[1], baseline.output_shape[-1], params.head, seed)
    epochs: list[Epoch] = []
    heads.train(
        head,
        learning_rate,
        data,
        params.epochs,
        params.batch_size,
        f"evaluate: {RESIZE_RETRAINED}",
        epochs.append,
    )
    backbone = baseline.get_layer("backbone")
    return models.assemble(RESIZE_RETRAINED, backbone, heads.trained(head)), epochs


def join_histories(folders: Mapping[str, Path]) -> pd.DataFrame:
    """Returns the training histories of several models as one table with a column `model`."""
    tables = [
        pd.read_csv(folder / training.HISTORY_FILE).assign(model=name)
        for name, folder in folders.items()
    ]
    return pd.concat(tables, ignore_index=True)
