"""What DVC and git know about the pipeline run that is going on."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from stemtune import files
from stemtune.params import Params

LOCK = Path("dvc.lock")


@dataclass(frozen=True)
class Pipeline:
    """A pipeline run.

    Attributes:
        started: When DVC was started, seconds since 1970; what a stage did before that is cached.
        stage_keys: By stage, a name for its command, inputs and params: equal work, equal key.
        data_digest: DVC's hash of the data folder.
        commit: Of the project's git repository; "" outside one.
        dirty: Whether tracked files differ from that commit.
        experiment: Name of the `dvc exp run`; "" outside one.
    """

    started: float
    stage_keys: Mapping[str, str]
    data_digest: str
    commit: str
    dirty: bool
    experiment: str


def stages(params: Params) -> list[str]:
    """Returns the names of the stages that leave a record, in the order of the chain."""
    stems = [f"add_stem@{variant}" for variant in params.add_stem.variants]
    return ["extract_frames", "embed_frames", "tune_lr", "train_best", *stems, "evaluate"]


def current(names: list[str]) -> Pipeline:
    """Returns the pipeline run that this process belongs to.

    Raises:
        KeyError: dvc.lock lacks one of the stages.
    """
    locked = yaml.safe_load(LOCK.read_text(encoding="utf-8"))["stages"]
    if missing := [name for name in names if name not in locked]:
        raise KeyError(f"{LOCK} lacks {missing}; run `dvc repro`, which runs them and then track")
    data = {entry["path"]: entry["md5"] for entry in locked["extract_frames"]["deps"]}
    return Pipeline(
        started=_start_of_dvc(),
        stage_keys={name: _key(locked[name]) for name in names},
        data_digest=data["data"],
        commit=_git("rev-parse", "HEAD"),
        dirty=bool(_git("status", "--porcelain", "--untracked-files=no")),
        experiment=os.environ.get("DVC_EXP_NAME", ""),
    )


def _key(entry: dict[str, Any]) -> str:
    parts = {part: entry.get(part) for part in ("cmd", "deps", "params")}
    return files.key(json.dumps(parts, sort_keys=True))


def _start_of_dvc() -> float:
    """Returns when the DVC process above this one started; when this one did, if there is none."""
    this = psutil.Process()
    above = [
        process
        for process in this.parents()
        if any(Path(argument).name == "dvc" for argument in process.cmdline()[:3])
    ]
    return float((above or [this])[0].create_time())


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, check=True
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        # A project without git is allowed; MLflow then shows no commit.
        return ""
    return done.stdout.strip()
