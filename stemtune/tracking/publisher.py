"""Shows a whole pipeline run in MLflow, from what its outbox holds."""

import time
from collections.abc import Collection
from typing import Any

from stemtune.core.pipeline_run import Pipeline
from stemtune.tracking import artifacts
from stemtune.tracking.outbox import Outbox, Outcome
from stemtune.tracking.run_writer import RunWriter, metrics


class Incomplete(Exception):
    """Artifacts or models of a pipeline run could not be stored; the message names them."""


class Publisher:
    """Publishes one pipeline run."""

    def __init__(self, client: Any, pipeline: Pipeline) -> None:
        """Connects to nothing yet.

        Args:
            client: An MlflowClient.
            pipeline: What is published.
        """
        self._client, self._pipeline = client, pipeline
        self._writer = RunWriter(client, pipeline)

    def publish(self, outbox: Outbox, present: Collection[str] = ()) -> str:
        """Writes all that an outbox holds of the pipeline run; returns the parent's run id.

        Args:
            outbox: Of the pipeline run.
            present: DVC's hashes of the model folders as they are now; other models than these
                are gone, and not registered.

        Raises:
            Incomplete: Artifacts or models could not be stored; all else is written.
            mlflow.exceptions.MlflowException: The store refuses or cannot be reached.
        """
        outcome, records = outbox.outcome(), outbox.records()
        shown = outcome.models if outcome else {}
        self._writer.claim(records, shown)
        for record in records:
            cached = record.started < self._pipeline.started
            stage_key = outcome.lock.stage_keys.get(record.name, "") if outcome else ""
            self._writer.write_stage(record, cached, stage_key, shown)
        runs = {"": self._writer.parent}
        runs |= {record.name: self._writer.id_of(record.name) for record in records}
        missing: list[str] = []
        for name, run in runs.items():
            missing += artifacts.attach(self._client, self._writer, outbox, name, run)
        if outcome:
            self._conclude(outcome)
            missing += artifacts.attach_exports(self._client, self._writer, outcome)
            missing += artifacts.register(self._client, self._writer, outcome, present)
        failed = any(record.status == "failed" for record in records)
        ends = [record.started + record.seconds for record in records]
        ended = time.time() if self._pipeline.alive() else max(ends, default=0)
        state = "FAILED" if failed else "FINISHED"
        self._writer.end_parent(state, max(ended, self._pipeline.started))
        if missing:
            raise Incomplete("; ".join(missing))
        return self._writer.parent

    def _conclude(self, outcome: Outcome) -> None:
        """Writes what the pipeline run came to."""
        tags = {
            "mlflow.note.content": outcome.description,
            "dvc.lock": outcome.lock.digest,
            **outcome.environment,
            **outcome.tags,
        }
        parent, started = self._writer.parent, self._pipeline.started
        self._writer.log(parent, metrics(outcome.metrics, started, 0), {}, tags)
        models = [self._writer.id_of("evaluate", name) for name in outcome.models]
        for run in (parent, *models):
            self._client.log_inputs(run, [artifacts.dataset(outcome)])
