"""Models that a command may be told to use, by name."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from stemtune.core.errors import InputError
from stemtune.core.input_specification import CLASSES_FILE

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

REGISTERED, CASCADE = "models:/", ".cascade.json"


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


@runtime_checkable
class ClipModel(Model, Protocol):
    """A model that answers for clips as wholes."""

    def clips(self, frames: "np.ndarray", number: int) -> "pd.DataFrame":
        """Returns the probabilities of clips, as many frames of each: a row each."""


def of_clips(model: Model, frames: "np.ndarray", number: int) -> "pd.DataFrame":
    """Returns the probabilities of clips: a row each, a column per class.

    Args:
        model: It.
        frames: Those of all clips, as many of each, one clip after the other.
        number: Of clips.
    """
    if isinstance(model, ClipModel):
        return model.clips(frames, number)
    found = model.frames(frames)
    size = len(found) // number
    return found.groupby([row // size for row in range(len(found))]).mean()


def load(named: str) -> Model:
    """Loads a model.

    Args:
        named: A folder that the pipeline stored a classifier in, a LiteRT file that it exported, a
            cascade of two (`.cascade.json`), or `models:/…`, a model in MLflow's registry.

    Raises:
        InputError: There is no such model.
    """
    if named.startswith(REGISTERED):
        from stemtune.tracking import registry

        with registry.downloaded(named) as folder:
            return _stored(folder)
    # It needs no TensorFlow.
    from stemtune.serving import litert

    if named.endswith(CASCADE):
        from stemtune.commands.cascaded import CascadeClassifier

        return CascadeClassifier(Path(named))
    if named.endswith(litert.SUFFIX):
        return litert.LiteRTClassifier(Path(named))
    if not (Path(named) / CLASSES_FILE).is_file():
        raise InputError(
            f"there is no model {named}; name a folder that holds one, such as models/baseline, "
            "which `dvc repro` makes, a LiteRT file, such as exports/retrained_224_int8.tflite, a "
            "cascade, exports/*.cascade.json, or one of MLflow's registry, such as "
            "models:/stemtune@stem"
        )
    return _stored(Path(named))


def _stored(folder: Path) -> Model:
    from stemtune.networks import reproducibility
    from stemtune.serving.inference import Classifier

    reproducibility.load()
    return Classifier(folder)
