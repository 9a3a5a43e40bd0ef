"""The MLflow runs of one pipeline run: found by key, made where there are none, and filled.

There is one publisher for a project, so nobody else makes the same runs. Everything can be written
again: a digest of a run's content is written last, so the next publisher completes what an
interrupted one left out.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from stemtune.core import files
from stemtune.core.records import Record
from stemtune.tracking import experiment, tree
from stemtune.tracking.pipeline_run import RUN_VARIABLE, PipelineRun

# Tags of each run: its key, that of its pipeline run, and, once it is complete, what it holds.
KEY, PIPELINE, CONTENT = "stemtune.key", "stemtune.pipeline", "stemtune.content"
PARENT, NAME = "mlflow.parentRunId", "mlflow.runName"
LONGEST_NAME = 250


class Runs:
    """The runs of one pipeline run.

    Attributes:
        experiment: Id of their experiment.
        notes: What people should know about where they are.
    """

    def __init__(self, client: MlflowClient, run: PipelineRun) -> None:
        """Finds the experiment, and the runs that there are.

        Raises:
            mlflow.exceptions.MlflowException: The store refuses or cannot be reached.
        """
        self._client, self._run = client, run
        self.notes: list[str] = []
        given = self._given()
        self.experiment = given.info.experiment_id if given else ""
        if not self.experiment:
            self.experiment = experiment.find(client, run.mlflow_experiment, self.notes.append)
        self._ids: dict[str, str] = {}
        # By run, its tags, and how many epochs were sent.
        self._tags: dict[str, dict[str, str]] = {}
        self._sent: dict[str, int] = {}
        self._load()
        # Below one `mlflow run` there may be one `dvc repro` after the other: the first is it.
        self._above = given.info.run_id if given else ""
        self._given_params = given.data.params if given else {}
        self._is_given = False
        if given and given.data.tags.get(PIPELINE, run.key) == run.key:
            self._ids[run.key], self._is_given, self._above = given.info.run_id, True, ""
            self._tags[given.info.run_id] = given.data.tags

    def upsert(self, record: Record, key: str = "", above: str = "") -> str:
        """Writes what is new of a record and of all below it; returns its run's id.

        Raises:
            mlflow.exceptions.MlflowException: The store refuses or cannot be reached.
        """
        # A clock that was set back makes them negative.
        record = record.model_copy(update={"seconds": max(0.0, record.seconds)})
        key, above = key or self._run.key, above or self._above
        if key not in self._ids:
            self._ids[key] = self._create(record, key, above)
        run = self._ids[key]
        # Of doubles, the one that stayed may be below one that did not.
        if above and self._tags[run].get(PARENT, above) != above:
            self.log(run, tags={PARENT: above})
            self._tags[run][PARENT] = above
        for child in record.children:
            self.upsert(child, f"{key}/{child.name}", run)
        content = files.key(record.model_copy(update={"children": []}).model_dump_json())
        if self._tags[run].get(CONTENT) != content:
            self._write(run, key, record, content)
            self._tags[run][CONTENT] = content
        return run

    def id_of(self, *names: str) -> str:
        """Returns the run of a stage, or of a child of it; of the whole without names."""
        return self._ids["/".join((self._run.key, *names))]

    def tag_of(self, run: str, name: str) -> str:
        """Returns a tag of a run as it was found; "" if it had none."""
        return self._tags[run].get(name, "")

    def log(
        self,
        run: str,
        metrics: Sequence[Metric] = (),
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Adds to a run.

        Tags too go in as a batch: MLflow's store tries that again when two write one tag at once,
        and lets `set_tag` fail.
        """
        settings = [Param(_name(name), str(value)) for name, value in (params or {}).items()]
        marks = [RunTag(_name(name), value) for name, value in (tags or {}).items()]
        self._client.log_batch(run, metrics, settings, marks)

    def find(self, condition: str) -> str:
        """Returns the newest run that a condition holds for; "" if there is none."""
        found = self._client.search_runs([self.experiment], condition, max_results=1)
        return found[0].info.run_id if found else ""

    def _given(self) -> Run | None:
        """Returns the run that the pipeline run was given; None if it has to make its own."""
        given = self._run.given_run
        if not given:
            return None
        try:
            found = self._client.get_run(given)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            found = None
        why = "there is no such run"
        if found and found.info.lifecycle_stage == "active":
            ended = found.info.end_time
            if ended is None or ended >= self._run.started * 1000:
                return found
            why = "it had ended before"
        self.notes.append(
            f"{RUN_VARIABLE} is set to {given}, and {why}: this is a run of its own. "
            f"`unset {RUN_VARIABLE}`"
        )
        return None

    def _load(self) -> None:
        """Finds the runs that there are. Of doubles, which two publishers made, one stays."""
        by_key: dict[str, list[Run]] = defaultdict(list)
        token = None
        while True:
            page = self._client.search_runs(
                [self.experiment],
                f"tags.`{PIPELINE}` = '{self._run.key}'",
                max_results=1000,
                page_token=token,
            )
            for run in page:
                by_key[run.data.tags[KEY]].append(run)
            if not (token := page.token):
                break
        for key, runs in by_key.items():
            runs.sort(key=lambda run: (run.info.start_time, run.info.run_id))
            # One that is whole stays.
            kept, *doubles = sorted(runs, key=lambda run: CONTENT not in run.data.tags)
            self._ids[key] = kept.info.run_id
            self._tags[kept.info.run_id] = kept.data.tags
            for double in doubles:
                self._client.delete_run(double.info.run_id)

    def _create(self, record: Record, key: str, above: str) -> str:
        tags = {KEY: key, PIPELINE: self._run.key} | ({PARENT: above} if above else {})
        started, title = round(record.started * 1000), record.title or record.name
        run = self._client.create_run(self.experiment, started, tags, title).info.run_id
        self._tags[run] = tags
        return str(run)

    def _write(self, run: str, key: str, record: Record, content: str) -> None:
        """Writes what a run of a key does not hold yet of a record, and last a digest of it all."""
        metrics, params = [], record.params
        for epoch in record.epochs[self._sent.get(run, 0) :]:
            metrics += _metrics(epoch.metrics, epoch.time, epoch.epoch)
        tags = record.tags | self._described(record)
        # It may be another program's, such as `mlflow run`.
        is_given = self._is_given and key == self._run.key
        if is_given:
            tags |= {KEY: key, PIPELINE: key}
            # Those that `mlflow run` has noted, it may have written in another way.
            params = {name: params[name] for name in params if name not in self._given_params}
        else:
            tags[NAME] = record.title or record.name
        if record.status != "running":
            results = {**record.metrics, "seconds": record.seconds}
            if record.energy_wh is not None:
                results["estimated_wh"] = record.energy_wh
            # Results come last: MLflow shows the value of the highest step.
            metrics += _metrics(results, record.ended, len(record.epochs))
        self._set_status(run, record, is_given)
        self.log(run, metrics, params, tags)
        if record.status != "running":
            # Last: then the run is whole. MLflow splits a long call.
            self.log(run, tags={CONTENT: content})
        self._sent[run] = len(record.epochs)

    def _set_status(self, run: str, record: Record, is_given: bool) -> None:
        if record.status == "running":
            return
        if is_given:
            # Who began it ends it, unless that was killed too.
            giver = self._run.giver
            is_running = self._client.get_run(run).info.status == "RUNNING"
            if not is_running or (giver and (not giver.is_here or giver.find())):
                return
        self._client.set_terminated(run, record.status.upper(), round(record.ended * 1000))

    def _described(self, record: Record) -> dict[str, str]:
        """Returns the tags of a record's description; of a cached stage with what computed it."""
        tags, execution = {}, record.tags.get(tree.EXECUTION)
        if record.description:
            tags[experiment.NOTE] = record.description
        if execution and record.tags["cached"] == "true":
            condition = f"tags.`{tree.EXECUTION}` = '{execution}' and tags.cached = 'false'"
            if computed := self.find(condition):
                link = f"#/experiments/{self.experiment}/runs/{computed}"
                tags["computed_by"] = computed
                tags[experiment.NOTE] = f"{record.description} by [run {computed[:8]}]({link})"
        return tags


def _name(text: str) -> str:
    """Returns a name as MLflow takes it: a setting may be misspelt, which its stage fails of."""
    return re.sub(r"[^\w.\- :]", "_", text)[:LONGEST_NAME]


def _metrics(values: Mapping[str, float], at: float, step: int) -> list[Metric]:
    """Returns values, measured at a time in seconds since 1970, as MLflow takes them."""
    return [Metric(name, value, round(at * 1000), step) for name, value in values.items()]
