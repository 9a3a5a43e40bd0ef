"""How the runs of a pipeline run are written: a parent, and a child per stage, trial and model.

All that is written comes from run records, so that a cached stage shows as fully as one that just
ran, with the times of when it did. All of it can be written again: runs are found by key, what they
hold already is left alone, and what a publisher was kept from is filled in by the next one.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from mlflow.entities import Metric, Param, RunTag

from stemtune.core import files, markdown
from stemtune.core.pipeline_run import Pipeline
from stemtune.core.records import Record
from stemtune.tracking import experiment
from stemtune.tracking.outbox import Shown
from stemtune.tracking.unique_runs import CONTENT, KEY, PIPELINE, Child, UniqueRuns

# A tag: which execution of a stage a run shows.
EXECUTION = "stemtune.execution"
STATUS = {"running": "RUNNING", "finished": "FINISHED", "failed": "FAILED"}
# MLflow takes 8,000, and would cut off the end of an error, which says most.
LONGEST_TAG = 7000


class RunWriter:
    """Writes the runs of one pipeline run; nothing before the first of them is asked for."""

    def __init__(self, client: Any, pipeline: Pipeline) -> None:
        """Connects to nothing yet.

        Args:
            client: An MlflowClient.
            pipeline: Whose runs are written.
        """
        self._client, self._pipeline = client, pipeline

    @cached_property
    def parent(self) -> str:
        """Id of the pipeline run's own run, made where there is none."""
        pipeline = self._pipeline
        parent = pipeline.given_run
        if not parent:
            [parent] = self._runs.claim([Child(pipeline.key, pipeline.name, "", pipeline.started)])
        tags = {KEY: pipeline.key, PIPELINE: pipeline.key}
        tags |= {"git.commit": pipeline.commit, "git.dirty": str(pipeline.dirty).lower()}
        if pipeline.experiment:
            tags["dvc.experiment"] = pipeline.experiment
        tags |= {f"dvc.experiment.{name}": value for name, value in pipeline.changed.items()}
        self.log(parent, [], {}, tags)
        return parent

    def id_of(self, stage: str, child: str = "") -> str:
        """Returns the run of a stage, or of a child of it, that was claimed before."""
        return self._runs.id_of(self._key(stage, *([child] if child else [])))

    def tag_of(self, run: str, name: str) -> str:
        """Returns a tag of a run that was claimed before; "" if it had none."""
        return self._runs.tag_of(run, name)

    def claim(self, records: Sequence[Record], shown: Mapping[str, Shown]) -> None:
        """Sees to it that stages and their children have a run each.

        Args:
            records: Of the stages.
            shown: What models' runs are called, by name in evaluate's record.
        """
        stages = self._runs.claim(
            [Child(self._key(r.name), r.name, self.parent, r.started) for r in records]
        )
        self._runs.claim(
            [
                Child(
                    self._key(record.name, child.name),
                    _title(child.name, shown),
                    stage,
                    child.started,
                )
                for record, stage in zip(records, stages, strict=True)
                for child in record.children
            ]
        )

    def write_stage(
        self, record: Record, cached: bool, stage_key: str, shown: Mapping[str, Shown]
    ) -> None:
        """Writes all that is known of a stage and its children, which have been claimed.

        Args:
            record: The stage's.
            cached: Whether it ran before this pipeline run.
            stage_key: DVC's; "": not known yet.
            shown: What models' runs show beside their records, by name.
        """
        tags = self.stage_tags(record, cached)
        if stage_key:
            tags["stage_key"] = stage_key
        note = ""
        if cached:
            at = datetime.fromtimestamp(record.started, UTC)
            note = f"Cached. Computed {at:%Y-%m-%d %H:%M:%S} UTC"
            if computed := self._computed_by(record):
                tags["computed_by"] = computed
                link = f"#/experiments/{self._experiment}/runs/{computed}"
                note += f" by [run {computed[:8]}]({link})"
        if record.error:
            error = record.error.strip()[-LONGEST_TAG:]
            tags["error"], note = error.splitlines()[-1], markdown.fenced(error)
        of_stage = tags | record.environment | {EXECUTION: _execution(record)}
        self._write(self.id_of(record.name), record, of_stage, Shown(description=note))
        for child in record.children:
            more = shown.get(child.name, Shown())
            self._write(self.id_of(record.name, child.name), child, tags, more)

    def stage_tags(self, record: Record, cached: bool) -> dict[str, str]:
        """Returns the tags of the runs of a stage and its children."""
        return {
            "dvc.stage": record.name,
            "cached": str(cached).lower(),
            "git.commit": self._pipeline.commit,
        }

    def log(
        self,
        run: str,
        metrics: Sequence[Metric],
        params: Mapping[str, Any],
        tags: Mapping[str, str],
    ) -> None:
        """Adds to a run.

        Tags too go in as a batch: MLflow's store tries that again when two write one tag at once,
        and lets `set_tag` fail.
        """
        if metrics or params or tags:
            settings = [Param(name, str(value)) for name, value in params.items()]
            marks = [RunTag(name, value) for name, value in tags.items()]
            self._client.log_batch(run, metrics, settings, marks)

    def has_failed(self) -> bool:
        """Returns whether a stage of the pipeline run failed, as MLflow shows it."""
        return bool(self._client.get_run(self.parent).info.status == "FAILED")

    def end_parent(self, status: str, at: float) -> None:
        """Ends the pipeline run's own run, at a time in seconds since 1970."""
        if self._pipeline.given_run:
            # `mlflow run` ends its own, unless it was killed too.
            status_now = self._client.get_run(self.parent).info.status
            if self._pipeline.alive() or status_now != "RUNNING":
                return
        self._client.set_terminated(self.parent, status, _milliseconds(at))

    def find(self, condition: str) -> str:
        """Returns the newest run that a condition holds for; "" where there is none."""
        found = self._client.search_runs([self._experiment], condition, max_results=1)
        return found[0].info.run_id if found else ""

    @cached_property
    def _experiment(self) -> str:
        return experiment.find(self._client, self._pipeline.given_run)

    @cached_property
    def _runs(self) -> UniqueRuns:
        return UniqueRuns(self._client, self._experiment, self._pipeline.key)

    def _key(self, *names: str) -> str:
        return "/".join((self._pipeline.key, *names))

    def _write(self, run: str, record: Record, tags: Mapping[str, str], more: Shown) -> None:
        """Writes all that a run has to hold, unless it does."""
        content = files.key(record.model_dump_json(), sorted(tags.items()), more.model_dump_json())
        if self._runs.tag_of(run, CONTENT) == content:
            return
        ended = record.started + record.seconds
        results = {**record.metrics, **more.metrics, "seconds": record.seconds}
        if record.energy_wh is not None:
            results["estimated_wh"] = record.energy_wh
        # Results come last: MLflow shows the value of the highest step.
        written = epoch_metrics(record) + metrics(results, ended, len(record.epochs))
        marks = {**tags, "mlflow.runName": _title(record.name, {record.name: more})}
        if more.description:
            marks["mlflow.note.content"] = more.description
        self.log(run, written, {**record.params, **more.params}, marks)
        self._client.set_terminated(run, STATUS[record.status], _milliseconds(ended))
        self.log(run, [], {}, {CONTENT: content})

    def _computed_by(self, record: Record) -> str:
        """Returns the run in which a cached stage really ran; "" where this store has none."""
        return self.find(f"tags.`{EXECUTION}` = '{_execution(record)}' and tags.cached = 'false'")


def metrics(values: Mapping[str, float], at: float, step: int) -> list[Metric]:
    """Returns values, measured at a time in seconds since 1970, as MLflow takes them."""
    return [Metric(name, value, _milliseconds(at), step) for name, value in values.items()]


def epoch_metrics(record: Record, after: int = 0) -> list[Metric]:
    """Returns what a record has of its epochs, but for so many that are known, as MLflow does."""
    return [
        metric
        for epoch in record.epochs[after:]
        for metric in metrics(epoch.metrics, epoch.time, epoch.epoch)
    ]


def _title(name: str, shown: Mapping[str, Shown]) -> str:
    return (shown[name].title if name in shown else "") or name


def _execution(record: Record) -> str:
    return files.key(record.name, record.started)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
