"""A frame through a classifier with a stem, against the one without: what a stem is for."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bench import measuring
from bench.material import SETTINGS
from bench.stem_epoch import untrained_classifier
from stemtune.networks import reproducibility

if TYPE_CHECKING:
    import keras

    from stemtune.networks.classifier import Predict

BACKBONE, CLASSES = "efficientnet_lite0", 6
# Struck: what share of the operations becomes time is the processor's matter.
TARGET = None
# Of probabilities: the stem is computed in blocks.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Size:
    """Side of the frames, px; and runs, each a median over batches."""

    side: int
    runs: int


FULL = Size(side=224, runs=9)
TINY = Size(side=72, runs=1)


def measure(size: Size) -> list[measuring.Row]:
    """Returns the row `stem_inference`, in ms per frame."""
    reproducibility.configure(SETTINGS.runtime)
    from stemtune.networks import cost

    stemmed = untrained_classifier(BACKBONE, CLASSES)
    baseline = replace(stemmed, name="baseline", stem=None)
    ours, theirs = stemmed.predictor(), baseline.predictor()
    _require_equal(stemmed.model, ours, size.side)
    measured, plain = measuring.in_turns(
        size.runs,
        lambda: cost.milliseconds_per_frame(ours, size.side),
        lambda: cost.milliseconds_per_frame(theirs, size.side),
    )
    return [
        measuring.of_times(
            "stem_inference",
            measured,
            plain,
            f"ms a frame, {BACKBONE} without a stem, frames of {size.side} px",
            TARGET,
        )
    ]


def _require_equal(model: "keras.Model", predict: "Predict", side: int) -> None:
    """Raises AssertionError unless what is timed answers as the model does."""
    frames = np.random.default_rng(1).integers(0, 256, (4, side, side, 3), np.uint8)
    off = np.abs(predict(frames) - model(frames, training=False).numpy()).max()
    if not off <= TOLERANCE:
        raise AssertionError(f"stem_inference: probabilities differ by {off:.2g}")
