"""A stored classifier as MLflow loads it: this file is logged with the model and run there."""

import os
import time
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, REQUEST_LIMIT_EXCEEDED
from mlflow.pyfunc import PythonModel

from stemtune.core.errors import InputError
from stemtune.media.sampling import DecodeError, LimitError
from stemtune.media.sandbox import BusyError, Sandbox
from stemtune.serving import requested_clips

# Of one server process; each may take the memory that the limits allow.
DECODERS = 2


class Refusal(MlflowException):
    """Why a request is refused.

    MLflow's server would put the whole request in front of the message: megabytes of a clip.
    """

    @property
    def message(self) -> str:
        return str(self.args[0])

    @message.setter
    def message(self, message: str) -> None:
        """Keeps the message as it is."""


class Served(PythonModel):
    """Gives probabilities, a column per class, of frames or of clips."""

    def load_context(self, context: Any) -> None:
        """Loads the classifier; TensorFlow is not imported before.

        Raises:
            InputError: An environment variable is not as it has to be.
        """
        from stemtune.serving.inference import Classifier

        self._settings = requested_clips.settings_from(os.environ)
        self._sandbox = Sandbox(self._settings.limits, DECODERS)
        self._classifier = Classifier(Path(context.artifacts["classifier"]))

    def predict(
        self, context: Any, model_input: np.ndarray, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Returns a row of probabilities per frame or clip.

        Args:
            context: Not used.
            model_input: Frames (n, h, w, 3), uint8, RGB; or clips (n,), text, as
                `requested_clips.opened` takes them.
            params: Not used.

        Raises:
            Refusal: The input is none of these, or past a limit; the message says what is allowed.
        """
        try:
            if _are_texts(model_input):
                return self._clips([str(asked) for asked in model_input])
            return self._classifier.frames(_frames(model_input))
        except InputError as error:
            allowed = requested_clips.allowed(self._settings)
            raise Refusal(f"stemtune: {error}. {allowed}", INVALID_PARAMETER_VALUE) from error
        except BusyError as error:
            raise Refusal(f"stemtune: {error}", REQUEST_LIMIT_EXCEEDED) from error

    def _clips(self, asked: list[str]) -> pd.DataFrame:
        """Returns the probabilities of clips: a row each, the mean over the clip's frames."""
        until = time.monotonic() + self._settings.limits.decode_seconds
        specification = self._classifier.specification
        rows = []
        for position, text in enumerate(asked, start=1):
            with requested_clips.opened(text, self._settings) as path:
                left = until - time.monotonic()
                try:
                    sample = self._sandbox.sample(
                        path, specification.frames_per_clip, specification.size, left
                    )
                except LimitError as error:
                    message = f"stemtune: clip {position} of {len(asked)} {error}"
                    raise Refusal(message, INVALID_PARAMETER_VALUE) from error
                except DecodeError as error:
                    raise InputError(f"clip {position} of {len(asked)} {error}") from error
            rows.append(self._classifier.frames(sample.frames).mean())
        return pd.DataFrame(rows)


def _are_texts(given: np.ndarray) -> bool:
    return given.ndim == 1 and len(given) > 0 and all(isinstance(text, str) for text in given)


def _frames(given: np.ndarray) -> np.ndarray:
    """Returns frames as uint8 where they come from JSON, which knows no such type."""
    if given.dtype != object:
        return given
    try:
        numbers = np.array(given.tolist())
    except ValueError as error:
        raise InputError(f"takes frames of equal size: {error}") from error
    is_whole = numbers.dtype.kind in "iu" and numbers.size > 0
    if not is_whole or numbers.min() < 0 or numbers.max() > 255:
        raise InputError("takes frames of whole numbers from 0 to 255, or a list of clips")
    return numbers.astype(np.uint8)


mlflow.models.set_model(Served())
