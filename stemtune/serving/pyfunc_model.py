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
from stemtune.serving import given_frames, requested_clips

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
        # The server has answered by itself by then, and the work is for nobody.
        until = time.monotonic() + self._settings.limits.decode_seconds
        try:
            if _are_texts(model_input):
                return self._clips([str(asked) for asked in model_input], until)
            return self._frames(_numbers(model_input), until)
        except InputError as error:
            allowed = requested_clips.allowed(self._settings)
            raise Refusal(f"stemtune: {error}. {allowed}", INVALID_PARAMETER_VALUE) from error
        except BusyError as error:
            raise Refusal(f"stemtune: {error}", REQUEST_LIMIT_EXCEEDED) from error

    def _frames(self, frames: np.ndarray, until: float) -> pd.DataFrame:
        """Returns the probabilities of frames: a row each."""
        given_frames.require(frames)
        requested_clips.require_few_frames(frames, self._settings)
        found: list[np.ndarray] = []
        for batch in self._classifier.batches(frames):
            found.append(batch)
            done = sum(map(len, found))
            if done < len(frames) and time.monotonic() > until:
                raise InputError(
                    f"classified {done} of {len(frames)} frames in the "
                    f"{self._settings.limits.decode_seconds:g} s that STEMTUNE_DECODE_SECONDS "
                    "allows; send fewer in a request"
                )
        return pd.DataFrame(np.concatenate(found), columns=self._classifier.classes)

    def _clips(self, asked: list[str], until: float) -> pd.DataFrame:
        """Returns the probabilities of clips: a row each, the mean over the clip's frames."""
        specification = self._classifier.specification
        rows = []
        for position, text in enumerate(asked, start=1):
            with requested_clips.opened(text, self._settings) as clip:
                try:
                    sample = self._sandbox.sample(
                        clip,
                        specification.frames_per_clip,
                        specification.size,
                        until - time.monotonic(),
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


def _numbers(given: np.ndarray) -> np.ndarray:
    """Returns frames as uint8 where they come from JSON, which knows no such type."""
    if given.dtype != object:
        return given
    kinds = {type(each) for each in given.flat}
    if list in kinds:
        raise InputError("takes frames of equal size")
    is_whole = bool(kinds) and all(issubclass(kind, int | np.integer) for kind in kinds)
    if not is_whole or bool in kinds or given.min() < 0 or given.max() > 255:
        raise InputError("takes frames of whole numbers from 0 to 255, or a list of clips")
    return given.astype(np.uint8)


mlflow.models.set_model(Served())
