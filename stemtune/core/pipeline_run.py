"""Which pipeline run a process belongs to, and what DVC and git know about it."""

import functools
import locale
import os
import platform
import subprocess
import sys
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

from stemtune.core import files, processes
from stemtune.core.params import leaves

PARAMS = Path("params.yaml")
# Set by `mlflow run`, whose run then is the parent.
RUN_VARIABLE = "MLFLOW_RUN_ID"
EXPERIMENT_VARIABLE = "DVC_EXP_NAME"
BASELINE_VARIABLE = "DVC_EXP_BASELINE_REV"
# Set by DVC for each stage: where its project is, of a copy too.
ROOT_VARIABLE = "DVC_ROOT"
# Of a project: where `dvc exp run --queue` and `--temp` copy it to, and run it.
COPIES = Path(".dvc/tmp/exps")
# In git's message of a repository that is another user's, in any language.
SAFE_DIRECTORY = "safe.directory"


class Pipeline(BaseModel):
    """A pipeline run: all stages below one `dvc repro`, `dvc exp run` or `mlflow run`.

    Attributes:
        key: Names it; the same in each of its processes, and in no other pipeline run.
        name: For people.
        started: When DVC was started, seconds since 1970; what a stage did before that is cached.
        process: Number of the process that it lives and dies with.
        process_started: From `processes.started`, of that process.
        commit: Of the project's git repository; "" outside one.
        dirty: Whether tracked files differ from that commit.
        experiment: Name of the `dvc exp run`; "" outside one.
        changed: Settings that differ from those that the experiment was based on.
        given_run: Id of the MLflow run that it belongs into; "" where it makes its own.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    name: str
    started: float
    process: int
    process_started: float
    commit: str
    dirty: bool
    experiment: str = ""
    changed: dict[str, str] = {}
    given_run: str = ""

    def alive(self) -> bool:
        """Returns whether it may still be going on, on this machine."""
        return processes.find(self.process, self.process_started) is not None


def project() -> Path:
    """Returns the project that runs belong to: this folder, or the one that DVC copied.

    DVC deletes its copy once the experiment is over.
    """
    here, named = Path.cwd(), os.environ.get(ROOT_VARIABLE)
    for origin in ([Path(named)] if named else []) + list(here.parents):
        if here.is_relative_to((origin / COPIES).resolve()):
            # The project may lie in a folder below DVC's, or DVC's below git's.
            top = git("-C", str(origin), "rev-parse", "--show-toplevel")
            return Path(top or origin) / git("rev-parse", "--show-prefix")
    return Path()


def owner(process: psutil.Process) -> psutil.Process:
    """Returns the process that a pipeline run lives and dies with.

    Args:
        process: A part of it; where DVC did not start it, it is a pipeline run of its own.
    """
    return next((above for above in process.parents() if _is_dvc(above)), process)


def encoding_of_dvc() -> str:
    """Returns the encoding in which the DVC that runs this process reads names of files.

    Stages read them as UTF-8, whatever the locale, by `PYTHONUTF8` in dvc.yaml.
    """
    process = psutil.Process()
    whole = owner(process)
    is_utf8 = whole == process or whole.environ().get("PYTHONUTF8") == "1"
    return "utf-8" if is_utf8 else locale.getencoding()


def key_of(whole: psutil.Process) -> str:
    """Returns the key of the pipeline run that a process owns."""
    if given := os.environ.get(RUN_VARIABLE, ""):
        return files.key("run", given)
    return files.key(platform.node(), whole.pid, processes.started(whole))


def describe(whole: psutil.Process, title: str) -> Pipeline:
    """Returns the pipeline run that a process owns.

    Args:
        whole: From `owner`.
        title: Of a pipeline run without DVC.
    """
    experiment = os.environ.get(EXPERIMENT_VARIABLE, "")
    commit, dirty = git("rev-parse", "HEAD"), git("status", "--porcelain", "-uno")
    if experiment:
        title = experiment
    elif _is_dvc(whole):
        title = f"pipeline {commit[:7]}{'+' if dirty else ''}".strip()
    return Pipeline(
        key=key_of(whole),
        name=title,
        started=whole.create_time(),
        process=whole.pid,
        process_started=processes.started(whole),
        commit=commit,
        dirty=bool(dirty),
        experiment=experiment,
        changed=_changed_settings() if experiment else {},
        given_run=os.environ.get(RUN_VARIABLE, ""),
    )


def git(*arguments: str) -> str:
    """Returns what git prints; "" in a project without git, which is allowed.

    Where git refuses a repository of another user, it is "" too, with a warning.
    """
    command = ["git", *arguments]
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, check=True
        )
    except FileNotFoundError:
        return ""
    except subprocess.CalledProcessError as error:
        if SAFE_DIRECTORY in error.stderr:
            _warn(error.stderr.strip())
        return ""
    return done.stdout.strip()


@functools.cache
def _warn(refusal: str) -> None:
    """Says once that the project is another user's, as in many containers, in git's own words."""
    warning = f"WARNING: MLflow shows no commit for this run, because git says:\n{refusal}"
    print(warning, file=sys.stderr, flush=True)


def _is_dvc(process: psutil.Process) -> bool:
    try:
        return any(Path(argument).name == "dvc" for argument in process.cmdline()[:3])
    except psutil.Error:
        # It ended just now, or is another user's, and then not the DVC that started this.
        return False


def _changed_settings() -> dict[str, str]:
    """Returns the settings of a `dvc exp run` that its base did not have, by dotted name."""
    based_on = git("show", f"{os.environ.get(BASELINE_VARIABLE, 'HEAD')}:./{PARAMS}")
    before = dict(leaves(files.parse_yaml(based_on, f"{PARAMS} at the experiment's base") or {}))
    now = dict(leaves(files.read_yaml(PARAMS) or {}))
    return {name: str(value) for name, value in now.items() if before.get(name, ...) != value}
