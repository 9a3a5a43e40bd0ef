"""Which pipeline run a process belongs to, and what DVC and git know about it."""

import os
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

from stemtune.core import dvc, files
from stemtune.core.git import git
from stemtune.core.params import leaves
from stemtune.core.paths import LOCK, METRICS
from stemtune.tracking.process import Process

PARAMS = Path("params.yaml")
# Set by `mlflow run`, whose run then is the parent, and by people.
RUN_VARIABLE, EXPERIMENT_VARIABLE = "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME"
DVC_EXPERIMENT_VARIABLE, BASELINE_VARIABLE = "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"
EXPERIMENT = "stemtune"


class PipelineRun(BaseModel):
    """All stages below one `dvc repro`, `dvc exp run` or `mlflow run`.

    Attributes:
        key: Names it; the same in each of its processes, and in no other pipeline run.
        name: For people.
        started: When DVC was started, seconds since 1970; what a stage did before that is cached.
        owner: The process that it lives and dies with.
        commit: Of the project's git repository; "" outside one.
        dirty: Whether tracked files differ from that commit, except those that the pipeline writes.
        dvc_experiment: Name of the `dvc exp run`; "" outside one.
        changed: Settings that differ from the committed ones, or from the experiment's base.
        given_run: Id of the MLflow run that it belongs to; "" if it makes its own.
        giver: The process that runs on behind that run, such as `mlflow run`.
        mlflow_experiment: Name of the MLflow experiment.
        store: A digest of the address that it was started with; "": any.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    name: str
    started: float
    owner: Process
    commit: str
    dirty: bool
    dvc_experiment: str = ""
    changed: dict[str, str] = {}
    given_run: str = ""
    giver: Process | None = None
    mlflow_experiment: str = EXPERIMENT
    store: str = ""


def current(title: str) -> PipelineRun:
    """Returns the pipeline run that this process belongs to.

    Args:
        title: Of a pipeline run without DVC.
    """
    process = psutil.Process()
    whole = dvc.owner(process)
    experiment = os.environ.get(DVC_EXPERIMENT_VARIABLE, "")
    commit = git("rev-parse", "HEAD")
    # dvc.lock and metrics/ are the pipeline's own.
    own = (f":(exclude){LOCK}", f":(exclude){METRICS.parent}")
    dirty = bool(git("status", "--porcelain", "-uno", "--", ":/", *own))
    if experiment:
        title = experiment
    elif whole != process:
        title = f"pipeline {commit[:7]}{'+' if dirty else ''}".strip()
    owner, given = Process.of(whole), os.environ.get(RUN_VARIABLE, "")
    return PipelineRun(
        key=key_of(owner),
        name=title,
        started=whole.create_time(),
        owner=owner,
        commit=commit,
        dirty=dirty,
        dvc_experiment=experiment,
        changed=_changed_settings(),
        given_run=given,
        giver=_giver(whole) if given else None,
        mlflow_experiment=experiment_name(),
    )


def key_of(owner: Process) -> str:
    """Returns the key of the pipeline run that a process owns."""
    return files.key(owner.machine, owner.number, owner.started)


def experiment_name() -> str:
    """Returns the name of the MLflow experiment that new runs belong to."""
    return os.environ.get(EXPERIMENT_VARIABLE, "").strip() or EXPERIMENT


def _giver(whole: psutil.Process) -> Process | None:
    """Returns the nearest process above that has not been given the run, but gave it."""
    for above in whole.parents():
        try:
            is_given = RUN_VARIABLE in above.environ()
        except psutil.Error:
            # It ended, or is another user's.
            is_given = False
        if not is_given:
            return Process.of(above)
    return None


def _changed_settings() -> dict[str, str]:
    """Returns the settings that git's version of params.yaml has not, by dotted name."""
    based_on = git("show", f"{os.environ.get(BASELINE_VARIABLE) or 'HEAD'}:./{PARAMS}")
    if not based_on or not PARAMS.exists():
        return {}
    before = dict(leaves(files.parse_yaml(based_on, f"{PARAMS} as committed") or {}))
    now = dict(leaves(files.read_yaml(PARAMS) or {}))
    return {name: str(value) for name, value in now.items() if before.get(name, ...) != value}
