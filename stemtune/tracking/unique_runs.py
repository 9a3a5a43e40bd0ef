"""Exactly one MLflow run per key, though MLflow has no such rule, and publishers may be several."""

import random
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from mlflow.entities import Run, RunTag
from mlflow.exceptions import MlflowException

# Tags of each run: its key, that of its pipeline run, and, once it is valid, what it holds.
KEY, PIPELINE, CONTENT = "stemtune.key", "stemtune.pipeline", "stemtune.content"
# How often a publisher looks for a run that another one may be about to make, and how long between.
LOOKS, PAUSE_SECONDS = 12, (0.1, 0.6)


class Child(NamedTuple):
    """A run that there has to be once: its key, name, parent run ("" for none) and start."""

    key: str
    name: str
    parent: str
    started: float


class UniqueRuns:
    """The runs of one pipeline run, found by key, and made where there are none.

    MLflow cannot make a run on condition that there is none like it. So a publisher makes one and
    then looks: if it is alone, it stays, and gets a mark with what it holds. If there is another,
    the publisher waits for a while: the other may have been alone when its publisher looked, and
    then gets the mark. Of two publishers the one that looked later saw both runs, so that two are
    never marked. If none is marked in that time, all publishers take the same one.
    """

    def __init__(self, client: Any, experiment: str, pipeline: str) -> None:
        """Connects to the runs of a pipeline run.

        Args:
            client: An MlflowClient.
            experiment: Id of the experiment.
            pipeline: Key of the pipeline run.
        """
        self._client, self._experiment, self._pipeline = client, experiment, pipeline
        self._by_key: dict[str, Run] = {}
        self._tags: dict[str, dict[str, str]] = {}

    def id_of(self, key: str) -> str:
        """Returns the id of the run with a key, claimed or found before."""
        return str(self._by_key[key].info.run_id)

    def tag_of(self, run: str, name: str) -> str:
        """Returns a tag of a run as it was when it was last looked for; "" if it had none."""
        return self._tags.get(run, {}).get(name, "")

    def refresh(self) -> dict[str, list[Run]]:
        """Finds the runs of the pipeline run; returns them by key."""
        found: dict[str, list[Run]] = defaultdict(list)
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment],
                f"tags.`{PIPELINE}` = '{self._pipeline}'",
                max_results=1000,
                page_token=token,
            )
            for run in page:
                found[run.data.tags[KEY]].append(run)
            if not (token := page.token):
                break
        for key, runs in found.items():
            self._by_key[key] = min(runs, key=_seniority)
            self._tags |= {run.info.run_id: run.data.tags for run in runs}
        return found

    def claim(self, children: Sequence[Child]) -> list[str]:
        """Returns the ids of the runs of children, made where there are none.

        Raises:
            mlflow.exceptions.MlflowException: The store refuses, cannot be reached, or other
                publishers make the same runs again and again.
        """
        ids = {
            child.key: self.id_of(child.key)
            for child in children
            if child.key in self._by_key and _is_marked(self._by_key[child.key])
        }
        for left in reversed(range(LOOKS)):
            missing = [child for child in children if child.key not in ids]
            if missing:
                ids |= self._try(missing, patient=left > 0)
            if len(ids) == len(children):
                return [ids[child.key] for child in children]
            time.sleep(random.uniform(*PAUSE_SECONDS))  # noqa: S311
        raise MlflowException(
            f"runs {[child.key for child in children if child.key not in ids]} are made by others "
            "as well, again and again; stop the other publishers"
        )

    def _try(self, children: Sequence[Child], patient: bool) -> dict[str, str]:
        found, ids, made = self.refresh(), {}, {}
        for child in children:
            there = found.get(child.key, [])
            marked = [run for run in there if _is_marked(run)]
            if marked or (there and not patient):
                ids[child.key] = self._keep_one(marked or there, there)
            elif not there:
                made[child.key] = self._make(child)
        if made:
            found = self.refresh()
        for key, mine in made.items():
            if [run.info.run_id for run in found.get(key, [])] == [mine]:
                # As a batch, which MLflow's store tries again when two write one tag at once.
                self._client.log_batch(mine, tags=[RunTag(CONTENT, "not yet")])
                ids[key] = mine
        return ids

    def _make(self, child: Child) -> str:
        tags = {KEY: child.key, PIPELINE: self._pipeline}
        if child.parent:
            tags["mlflow.parentRunId"] = child.parent
        run = self._client.create_run(
            self._experiment, round(child.started * 1000), tags, child.name
        )
        return str(run.info.run_id)

    def _keep_one(self, candidates: Iterable[Run], runs: Iterable[Run]) -> str:
        kept = min(candidates, key=_seniority).info.run_id
        for run in runs:
            if run.info.run_id != kept:
                self._client.delete_run(run.info.run_id)
        return str(kept)


def _is_marked(run: Run) -> bool:
    return CONTENT in run.data.tags


def _seniority(run: Run) -> tuple[bool, int, str]:
    return (not _is_marked(run), run.info.start_time, run.info.run_id)
