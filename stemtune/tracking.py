"""Shows pipeline runs in MLflow: one parent, and a child per stage, trial and model.

All that is written comes from run records, so that a cached stage shows as fully as one that just
ran, with the times of when it did. All of it can be written again: runs are found by key, what they
hold already is left alone, and what a publisher was kept from is filled in by the next one.
"""

import json
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# MLflow reports usage unless told not to, and reads this when it is imported.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
# Or a server has it print a line for each run.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# MLflow's own patience with a server that does not answer is a quarter of an hour.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")

import mlflow
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from stemtune import files, registry
from stemtune.claims import CONTENT, KEY, PIPELINE, Child, Claims
from stemtune.journal import Journal, Outcome, Shown
from stemtune.pipeline import Pipeline
from stemtune.records import Record

EXPERIMENT = "stemtune"
DEFAULT_STORE = "sqlite:///mlflow.db"
STORE_VARIABLE = "MLFLOW_TRACKING_URI"
# Tags: what artifacts a run holds, and which execution of a stage it shows.
ATTACHED, EXECUTION = "stemtune.attached", "stemtune.execution"
STATUS = {"running": "RUNNING", "finished": "FINISHED", "failed": "FAILED"}
# Of one call, and of a tag; MLflow takes 1,000, 100 and 8,000.
BATCH_METRICS, BATCH_PARAMS, LONGEST_TAG = 900, 100, 7000


class Incomplete(Exception):
    """Artifacts or models of a pipeline run could not be stored; the message names them."""


def store() -> str:
    """Returns where runs go: `MLFLOW_TRACKING_URI`, or mlflow.db in the project."""
    return os.environ.get(STORE_VARIABLE, DEFAULT_STORE)


class Publisher:
    """Writes one pipeline run into the MLflow store."""

    def __init__(self, pipeline: Pipeline, seconds: float) -> None:
        """Connects to the store.

        Args:
            pipeline: What is published.
            seconds: After which no further call is made, however slow the server is.

        Raises:
            mlflow.exceptions.MlflowException: The store refuses or cannot be reached.
        """
        mlflow.set_tracking_uri(store())
        self._pipeline = pipeline
        self._client: Any = _InTime(seconds)
        self._experiment = self._find_experiment()
        self._claims = Claims(self._client, self._experiment, pipeline.key)
        # Epochs that were sent, by run.
        self._sent: dict[str, int] = {}
        self._parent = self._claim_parent()

    def begin_stage(self, record: Record) -> str:
        """Shows a stage, and the pipeline run, as going on; returns the stage's run id."""
        if not self._failed():
            self._client.update_run(self._parent, "RUNNING")
        self.show(record)
        return self._claims.id_of(self._key(record.name))

    def show(self, record: Record) -> None:
        """Writes what is new of a stage that is going on."""
        runs = self._claim_stages([record], {})
        tags = self._stage_tags(record, cached=False)
        for shown in (record, *record.parts):
            run = runs[record.name, "" if shown is record else shown.name]
            sent = self._sent.get(run)
            new = [
                metric
                for epoch in shown.epochs[sent or 0 :]
                for metric in _metrics(epoch.metrics, epoch.time, epoch.epoch)
            ]
            if sent is None:
                self._log(run, new, shown.params, tags)
            else:
                self._log(run, new, {}, {})
            self._sent[run] = len(shown.epochs)

    def end_stage(self, record: Record) -> None:
        """Writes a stage that finished or failed, and with it the pipeline run's state."""
        self._write_stage(record, False, "", {}, self._claim_stages([record], {}))
        state = "FAILED" if record.status == "failed" or self._failed() else "FINISHED"
        self._end_parent(state, record.started + record.seconds)

    def name_stage(self, record: Record, stage_key: str) -> None:
        """Adds a stage's key, which is known once DVC has noted its end."""
        for name in ("", *(part.name for part in record.parts)):
            key = self._key(record.name, name) if name else self._key(record.name)
            self._client.set_tag(self._claims.id_of(key), "stage_key", stage_key)

    def publish(self, journal: Journal, present: Collection[str] = ()) -> str:
        """Writes all that a journal holds of the pipeline run; returns the parent's run id.

        Args:
            journal: Of the pipeline run.
            present: DVC's hashes of the model folders as they are now; other models than these
                are gone, and not registered.

        Raises:
            Incomplete: Artifacts or models could not be stored; all else is written.
            mlflow.exceptions.MlflowException: The store refuses or cannot be reached.
        """
        outcome, records = journal.outcome(), journal.records()
        shown = outcome.models if outcome else {}
        runs = self._claim_stages(records, shown)
        for record in records:
            if record.status == "running":
                record.status, record.error = "failed", "it ended without a word"
            cached = record.started < self._pipeline.started
            stage_key = outcome.lock.stage_keys.get(record.name, "") if outcome else ""
            self._write_stage(record, cached, stage_key, shown, runs)
        missing = list(self._attach(journal, "", self._parent))
        for record in records:
            missing += self._attach(journal, record.name, runs[record.name, ""])
        if outcome:
            self._conclude(outcome)
            missing += self._register(outcome, present)
        failed = any(record.status == "failed" for record in records)
        ends = [record.started + record.seconds for record in records]
        ended = time.time() if self._pipeline.alive() else max(ends, default=0)
        self._end_parent("FAILED" if failed else "FINISHED", max(ended, self._pipeline.started))
        if missing:
            raise Incomplete("; ".join(missing))
        return self._parent

    def _find_experiment(self) -> str:
        if self._pipeline.given_run:
            return str(self._client.get_run(self._pipeline.given_run).info.experiment_id)
        found = self._client.get_experiment_by_name(EXPERIMENT)
        if not found:
            try:
                return str(self._client.create_experiment(EXPERIMENT))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                # Another publisher was quicker.
                found = self._client.get_experiment_by_name(EXPERIMENT)
        return str(found.experiment_id)

    def _claim_parent(self) -> str:
        pipeline = self._pipeline
        parent = pipeline.given_run
        if not parent:
            [parent] = self._claims.claim(
                [Child(pipeline.key, pipeline.name, "", pipeline.started)]
            )
        tags = {KEY: pipeline.key, PIPELINE: pipeline.key}
        tags |= {"git.commit": pipeline.commit, "git.dirty": str(pipeline.dirty).lower()}
        if pipeline.experiment:
            tags["dvc.experiment"] = pipeline.experiment
        tags |= {f"dvc.experiment.{name}": value for name, value in pipeline.changed.items()}
        self._log(parent, [], {}, tags)
        return parent

    def _claim_stages(
        self, records: Sequence[Record], shown: Mapping[str, Shown]
    ) -> dict[tuple[str, str], str]:
        """Returns the runs of stages and of their parts, by stage and part; "" for the stage."""
        stages = self._claims.claim(
            [Child(self._key(r.name), r.name, self._parent, r.started) for r in records]
        )
        parts = [
            (record.name, part, stage)
            for record, stage in zip(records, stages, strict=True)
            for part in record.parts
        ]
        made = self._claims.claim(
            [
                Child(self._key(name, part.name), _title(part.name, shown), stage, part.started)
                for name, part, stage in parts
            ]
        )
        runs = {(r.name, ""): stage for r, stage in zip(records, stages, strict=True)}
        return runs | {
            (name, part.name): run for (name, part, _), run in zip(parts, made, strict=True)
        }

    def _key(self, *names: str) -> str:
        return "/".join((self._pipeline.key, *names))

    def _stage_tags(self, record: Record, cached: bool) -> dict[str, str]:
        return {
            "dvc.stage": record.name,
            "cached": str(cached).lower(),
            "git.commit": self._pipeline.commit,
        }

    def _write_stage(
        self,
        record: Record,
        cached: bool,
        stage_key: str,
        shown: Mapping[str, Shown],
        runs: Mapping[tuple[str, str], str],
    ) -> None:
        tags = self._stage_tags(record, cached)
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
            tags["error"], note = error.splitlines()[-1], f"```\n{error}\n```"
        of_stage = tags | record.environment | {EXECUTION: _execution(record)}
        self._write(runs[record.name, ""], record, of_stage, Shown(description=note))
        for part in record.parts:
            more = shown.get(part.name, Shown())
            self._write(runs[record.name, part.name], part, tags, more)

    def _write(self, run: str, record: Record, tags: Mapping[str, str], more: Shown) -> None:
        """Writes all that a run has to hold, unless it does."""
        content = files.key(record.model_dump_json(), sorted(tags.items()), more.model_dump_json())
        if self._claims.tag_of(run, CONTENT) == content:
            return
        ended = record.started + record.seconds
        results = {**record.metrics, **more.metrics, "seconds": record.seconds}
        if record.energy_wh is not None:
            results["estimated_wh"] = record.energy_wh
        metrics = [
            metric
            for epoch in record.epochs
            for metric in _metrics(epoch.metrics, epoch.time, epoch.epoch)
        ]
        # Results come last: MLflow shows the value of the highest step.
        metrics += _metrics(results, ended, len(record.epochs))
        marks = {**tags, "mlflow.runName": _title(record.name, {record.name: more})}
        if more.description:
            marks["mlflow.note.content"] = more.description
        self._log(run, metrics, {**record.params, **more.params}, marks)
        self._client.set_terminated(run, STATUS[record.status], _milliseconds(ended))
        self._client.set_tag(run, CONTENT, content)

    def _log(
        self,
        run: str,
        metrics: Sequence[Metric],
        params: Mapping[str, Any],
        tags: Mapping[str, str],
    ) -> None:
        left = [Param(name, str(value)) for name, value in params.items()]
        marks = [RunTag(name, value) for name, value in tags.items()]
        while metrics or left or marks:
            self._client.log_batch(run, metrics[:BATCH_METRICS], left[:BATCH_PARAMS], marks)
            metrics, left, marks = metrics[BATCH_METRICS:], left[BATCH_PARAMS:], []

    def _attach(self, journal: Journal, name: str, run: str) -> Iterator[str]:
        """Stores the artifacts of a stage ("": the pipeline run); yields what could not be."""
        folder = journal.artifacts(name)
        content = files.key(*files.checksums(folder).items())
        if not folder.exists() or self._claims.tag_of(run, ATTACHED) == content:
            return
        try:
            self._client.log_artifacts(run, str(folder))
            self._client.set_tag(run, ATTACHED, content)
        except Exception as error:
            # Each kind of artifact store has errors of its own. Metrics are worth having alone.
            yield f"artifacts of {name or 'the pipeline run'} ({first_line(error)})"

    def _conclude(self, outcome: Outcome) -> None:
        """Writes what the pipeline run came to."""
        tags = {
            "mlflow.note.content": outcome.description,
            "dvc.lock": outcome.lock.digest,
            **outcome.environment,
        }
        self._log(self._parent, _metrics(outcome.metrics, self._pipeline.started, 0), {}, tags)
        models = [self._claims.id_of(self._key("evaluate", name)) for name in outcome.models]
        for run in (self._parent, *models):
            self._client.log_inputs(run, [_dataset(outcome)])

    def _register(self, outcome: Outcome, present: Collection[str]) -> Iterator[str]:
        """Puts the models into the registry, and yields those that could not be."""
        for model in outcome.registered:
            if model.digest not in present:
                continue
            run = self._claims.id_of(self._key("evaluate", model.name))
            try:
                registry.publish(
                    self._client, run, model.name, model.alias, Path(model.folder), model.digest
                )
            except Exception as error:
                # As with artifacts.
                yield f"model {model.name} ({first_line(error)})"

    def _computed_by(self, record: Record) -> str:
        """Returns the run in which a cached stage really ran; "" where this store has none."""
        found = self._client.search_runs(
            [self._experiment],
            f"tags.`{EXECUTION}` = '{_execution(record)}' and tags.cached = 'false'",
            max_results=1,
        )
        return found[0].info.run_id if found else ""

    def _failed(self) -> bool:
        return bool(self._client.get_run(self._parent).info.status == "FAILED")

    def _end_parent(self, status: str, at: float) -> None:
        if not self._pipeline.given_run:
            # `mlflow run` ends its own.
            self._client.set_terminated(self._parent, status, _milliseconds(at))


class _InTime:
    """An MLflow client that makes no call past a deadline."""

    def __init__(self, seconds: float) -> None:
        self._client, self._seconds = MlflowClient(), seconds
        self._until = time.monotonic() + seconds

    def __getattr__(self, name: str) -> Any:
        if time.monotonic() > self._until:
            raise TimeoutError(f"MLflow took longer than track.seconds, {self._seconds:g} s")
        return getattr(self._client, name)


def first_line(error: Exception) -> str:
    """Returns what an error says, on one line."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _title(name: str, shown: Mapping[str, Shown]) -> str:
    return (shown[name].title if name in shown else "") or name


def _execution(record: Record) -> str:
    return files.key(record.name, record.started)


def _metrics(values: Mapping[str, float], at: float, step: int) -> list[Metric]:
    return [Metric(name, value, _milliseconds(at), step) for name, value in values.items()]


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _dataset(outcome: Outcome) -> DatasetInput:
    size = outcome.size
    frames = {"type": "tensor", "tensor-spec": {"dtype": "uint8", "shape": [-1, size, size, 3]}}
    labels = {"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}
    dataset = Dataset(
        name="data",
        # MLflow's store takes up to 36 characters; DVC's hash of a folder has 36 with its ".dir".
        digest=outcome.lock.data,
        source_type="dvc",
        source=json.dumps({"path": "data", "md5": outcome.lock.data}),
        schema=json.dumps({"mlflow_tensorspec": {"features": [frames], "targets": [labels]}}),
        profile=json.dumps(outcome.counts),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", "training and evaluation")])
