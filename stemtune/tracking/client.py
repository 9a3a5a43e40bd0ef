"""The connection to MLflow."""

import time
from typing import Any

import mlflow
from mlflow.tracking import MlflowClient

from stemtune.tracking import store


class Client:
    """An MLflow client of the project's store that makes no call past a deadline."""

    def __init__(self, seconds: float) -> None:
        """Connects to nothing yet.

        Args:
            seconds: After which no further call is made, however slow the server is.
        """
        self._seconds = seconds
        self._until = time.monotonic() + seconds
        self._client: MlflowClient | None = None

    def __getattr__(self, name: str) -> Any:
        if time.monotonic() > self._until:
            raise TimeoutError(
                f"MLflow took longer than track.timeout_seconds, {self._seconds:g} s"
            )
        if self._client is None:
            store.prepare()
            mlflow.set_tracking_uri(store.address())
            self._client = MlflowClient()
        return getattr(self._client, name)
