"""Which pipeline run a process belongs to, and what DVC and git know about it."""

import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import yaml
from pydantic import BaseModel, ConfigDict

from stemtune import files
from stemtune.params import Params
from stemtune.records import Record, path_of

LOCK = Path("dvc.lock")
PARAMS = Path("params.yaml")
# Set by `mlflow run`, whose run then is the parent.
RUN_VARIABLE = "MLFLOW_RUN_ID"
EXPERIMENT_VARIABLE = "DVC_EXP_NAME"
BASELINE_VARIABLE = "DVC_EXP_BASELINE_REV"


class Pipeline(BaseModel):
    """A pipeline run: all stages below one `dvc repro`, `dvc exp run` or `mlflow run`.

    Attributes:
        key: Names it; the same in each of its processes, and in no other pipeline run.
        name: For people.
        started: When DVC was started, seconds since 1970; what a stage did before that is cached.
        process: Number of the process that it lives and dies with.
        process_started: When that one started; its number may be given to another one later.
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
        try:
            return psutil.Process(self.process).create_time() == self.process_started
        except psutil.NoSuchProcess:
            return False


class Lock(BaseModel):
    """What dvc.lock holds once all stages are done.

    Attributes:
        digest: Of all of it but the stages that always run.
        stage_keys: By stage, a name for its command, inputs and params: equal work, equal key.
        outputs: DVC's hash by path, of what stages put out.
        data: DVC's hash of the data folder.
    """

    model_config = ConfigDict(frozen=True)

    digest: str
    stage_keys: dict[str, str]
    outputs: dict[str, str]
    data: str


def stages(params: Params) -> list[str]:
    """Returns the names of the stages that leave a record, in the order of the chain."""
    stems = [f"add_stem@{variant}" for variant in params.add_stem.variants]
    return ["extract_frames", "embed_frames", "tune_lr", "train_best", *stems, "evaluate"]


def current(stage: psutil.Process, name: str) -> Pipeline:
    """Returns the pipeline run that a stage's process belongs to.

    Args:
        stage: The process; where DVC did not start it, it is a pipeline run of its own.
        name: Of the stage.
    """
    above = [process for process in stage.parents() if _is_dvc(process)]
    owner = above[0] if above else stage
    started = owner.create_time()
    given, experiment = os.environ.get(RUN_VARIABLE, ""), os.environ.get(EXPERIMENT_VARIABLE, "")
    commit, dirty = git("rev-parse", "HEAD"), git("status", "--porcelain", "-uno")
    if experiment:
        title = experiment
    elif above:
        title = f"pipeline {commit[:7]}{'+' if dirty else ''}".strip()
    else:
        title = f"{name} by hand"
    return Pipeline(
        key=files.key("run", given) if given else files.key(platform.node(), owner.pid, started),
        name=title,
        started=started,
        process=owner.pid,
        process_started=started,
        commit=commit,
        dirty=bool(dirty),
        experiment=experiment,
        changed=_changed_settings() if experiment else {},
        given_run=given,
    )


def by_dvc(stage: psutil.Process) -> bool:
    """Returns whether DVC started a process."""
    return any(_is_dvc(process) for process in stage.parents())


def read_lock(names: list[str]) -> Lock:
    """Reads dvc.lock.

    Args:
        names: The stages that have to be in it.

    Raises:
        FileNotFoundError: It is missing.
        KeyError: It lacks one of the stages.
    """
    if not LOCK.exists():
        raise FileNotFoundError(f"{LOCK} is missing; `dvc repro` makes it")
    locked = yaml.safe_load(LOCK.read_text(encoding="utf-8"))["stages"]
    if missing := [name for name in names if name not in locked]:
        raise KeyError(f"{LOCK} lacks {missing}; run `dvc repro`, which runs them and then track")
    chosen = {name: locked[name] for name in names}
    inputs = {entry["path"]: entry["md5"] for entry in chosen["extract_frames"]["deps"]}
    return Lock(
        digest=files.key(json.dumps(chosen, sort_keys=True)),
        stage_keys={name: _key(entry) for name, entry in chosen.items()},
        outputs={out["path"]: out["md5"] for entry in chosen.values() for out in entry["outs"]},
        data=inputs["data"],
    )


def key_of(record: Record) -> str:
    """Returns the stage key of a stage that just ran; "" as long as DVC has not noted its end."""
    locked = yaml.safe_load(LOCK.read_text(encoding="utf-8")) if LOCK.exists() else {}
    entry = (locked or {}).get("stages", {}).get(record.name)
    if not entry:
        return ""
    path = path_of(record.name)
    md5 = {out["path"]: out["md5"] for out in entry.get("outs", [])}.get(path.as_posix())
    return _key(entry) if path.exists() and md5 == files.md5(path) else ""


def git(*arguments: str) -> str:
    """Returns what git prints; "" in a project without git, which is allowed."""
    command = ["git", *arguments]
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, check=True
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _key(entry: dict[str, Any]) -> str:
    parts = {part: entry.get(part) for part in ("cmd", "deps", "params")}
    return files.key(json.dumps(parts, sort_keys=True))


def _is_dvc(process: psutil.Process) -> bool:
    return any(Path(argument).name == "dvc" for argument in process.cmdline()[:3])


def _changed_settings() -> dict[str, str]:
    """Returns the settings of a `dvc exp run` that its base did not have, by dotted name."""
    based_on = git("show", f"{os.environ.get(BASELINE_VARIABLE, 'HEAD')}:./{PARAMS}")
    before = dict(_leaves(yaml.safe_load(based_on) or {}))
    now = dict(_leaves(yaml.safe_load(PARAMS.read_text(encoding="utf-8")) or {}))
    return {name: str(value) for name, value in now.items() if before.get(name, ...) != value}


def _leaves(block: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in block.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
