"""A stored classifier as MLflow loads it: this file is logged with the model and run there."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel

from stemtune.errors import InputError


class Served(PythonModel):
    """Gives probabilities, a column per class, of frames or of clips."""

    def load_context(self, context: Any) -> None:
        """Loads the classifier; TensorFlow is not imported before."""
        from stemtune.classifier import Classifier

        self._classifier = Classifier(Path(context.artifacts["classifier"]))

    def predict(
        self, context: Any, model_input: np.ndarray, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Returns a row of probabilities per frame or clip.

        Args:
            context: Not used.
            model_input: Frames (n, h, w, 3), uint8, RGB; or paths (n,) of clips.
            params: Not used.

        Raises:
            MlflowException: The input is none of these; the message says what it is.
        """
        try:
            if _are_paths(model_input):
                return self._classifier.clips([Path(path) for path in model_input])
            return self._classifier.frames(_frames(model_input))
        except InputError as error:
            raise MlflowException.invalid_parameter_value(f"stemtune: {error}") from error


def _are_paths(given: np.ndarray) -> bool:
    return (
        given.ndim == 1 and len(given) > 0 and all(isinstance(path, str | Path) for path in given)
    )


def _frames(given: np.ndarray) -> np.ndarray:
    """Returns frames as uint8 where they come from JSON, which knows no such type."""
    if given.dtype != object:
        return given
    try:
        numbers = np.array(given.tolist())
    except ValueError as error:
        raise InputError(f"takes frames of equal size: {error}") from error
    if numbers.dtype.kind not in "iu" or numbers.min() < 0 or numbers.max() > 255:
        raise InputError("takes frames of whole numbers from 0 to 255, or paths of clips")
    return numbers.astype(np.uint8)


mlflow.models.set_model(Served())
