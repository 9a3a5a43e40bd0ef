"""Shows stages in MLflow while they run."""

from typing import Any

from stemtune.core.pipeline_run import Pipeline
from stemtune.core.records import Record
from stemtune.tracking.run_writer import RunWriter, epoch_metrics


class Live:
    """Shows the stages of one pipeline run; nothing is written before the first of them."""

    def __init__(self, client: Any, pipeline: Pipeline) -> None:
        """Connects to nothing yet.

        Args:
            client: An MlflowClient.
            pipeline: What is shown.
        """
        self._client, self._writer = client, RunWriter(client, pipeline)
        # Epochs that were sent, by run.
        self._sent: dict[str, int] = {}

    def begin_stage(self, record: Record) -> str:
        """Shows a stage, and the pipeline run, as going on; returns the stage's run id."""
        if not self._writer.has_failed():
            self._client.update_run(self._writer.parent, "RUNNING")
        self.show(record)
        return self._writer.id_of(record.name)

    def show(self, record: Record) -> None:
        """Writes what is new of a stage that is going on."""
        self._writer.claim([record], {})
        tags = self._writer.stage_tags(record, cached=False)
        self._show(self._writer.id_of(record.name), record, tags)
        for child in record.children:
            self._show(self._writer.id_of(record.name, child.name), child, tags)

    def end_stage(self, record: Record) -> None:
        """Writes a stage that finished or failed, and with it the pipeline run's state."""
        self._writer.claim([record], {})
        self._writer.write_stage(record, False, "", {})
        has_failed = record.status == "failed" or self._writer.has_failed()
        state = "FAILED" if has_failed else "FINISHED"
        self._writer.end_parent(state, record.started + record.seconds)

    def name_stage(self, record: Record, stage_key: str) -> None:
        """Adds a stage's key, which is known once DVC has noted its end."""
        for name in ("", *(child.name for child in record.children)):
            run = self._writer.id_of(record.name, name)
            self._writer.log(run, [], {}, {"stage_key": stage_key})

    def _show(self, run: str, record: Record, tags: dict[str, str]) -> None:
        if run in self._sent:
            self._writer.log(run, epoch_metrics(record, self._sent[run]), {}, {})
        else:
            self._writer.log(run, epoch_metrics(record), record.params, tags)
        self._sent[run] = len(record.epochs)
