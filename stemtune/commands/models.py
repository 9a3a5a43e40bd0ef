"""Models that a command may be told to use, by name."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from stemtune.core.errors import InputError
from stemtune.core.input_specification import CLASSES_FILE

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

REGISTERED = "models:/"


class Specification(Protocol):
    """What frames a model takes: how many of a clip, and the side of the squares, px."""

    @property
    def frames_per_clip(self) -> int: ...

    @property
    def size(self) -> int: ...


class Model(Protocol):
    """Whatever gives probabilities of frames."""

    @property
    def specification(self) -> Specification: ...

    def frames(self, frames: "np.ndarray") -> "pd.DataFrame":
        """Returns the probabilities of frames (n, h, w, 3), uint8, RGB: a column per class."""


def load(named: str) -> Model:
    """Loads a model.

    Args:
        named: A folder that the pipeline stored a classifier in, a LiteRT file that it exported,
            or `models:/…`, a model in MLflow's registry.

    Raises:
        InputError: There is no such model.
    """
    if named.startswith(REGISTERED):
        from stemtune.tracking import registry

        with registry.downloaded(named) as folder:
            return _stored(folder)
    # It needs no TensorFlow.
    from stemtune.serving import litert

    if named.endswith(litert.SUFFIX):
        return litert.LiteRTClassifier(Path(named))
    if not (Path(named) / CLASSES_FILE).is_file():
        raise InputError(
            f"there is no model {named}; name a folder that holds one, such as models/baseline, "
            "which `dvc repro` makes, a LiteRT file, such as exports/baseline_int8.tflite, or one "
            "of MLflow's registry, such as models:/stemtune@stem"
        )
    return _stored(Path(named))


def _stored(folder: Path) -> Model:
    from stemtune.networks import reproducibility
    from stemtune.serving.inference import Classifier

    reproducibility.load()
    return Classifier(folder)
