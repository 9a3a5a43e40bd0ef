"""What DVC notes of the stages of a pipeline run, in dvc.lock."""

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from stemtune.core import files, lockfile
from stemtune.core.errors import InputError
from stemtune.core.params import Params
from stemtune.core.paths import LOCK
from stemtune.core.records import Record, path_of


class Locked(BaseModel):
    """What dvc.lock holds once all stages are done.

    Attributes:
        digest: Of all of it except the stages that always run.
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
    """Returns the names of the stages that leave a record, in the order of the pipeline."""
    stems = [f"add_stem@{variant}" for variant in params.add_stem.variants]
    trained = ["tune_lr", "train_best", "train_resized", *stems]
    return ["extract_frames", "embed_frames", *trained, "evaluate", "export", "report"]


def read(names: Sequence[str]) -> Locked:
    """Reads dvc.lock.

    Args:
        names: The stages that have to be in it.

    Raises:
        InputError: It is missing, or lacks one of the stages.
    """
    locked = _entries(LOCK)
    if missing := [name for name in names if name not in locked]:
        raise InputError(f"{LOCK} lacks {', '.join(missing)}; run `dvc repro`, then track")
    chosen = {name: locked[name] for name in names}
    outputs = {name: lockfile.hashes(entry.get("outs")) for name, entry in chosen.items()}
    stage_keys = {name: _key(entry) for name, entry in chosen.items()}
    return Locked(
        digest=files.key(json.dumps([stage_keys, outputs], sort_keys=True)),
        stage_keys=stage_keys,
        outputs={path: md5 for found in outputs.values() for path, md5 in found.items()},
        data=lockfile.hashes(chosen["extract_frames"]["deps"])["data"],
    )


def key_of(record: Record, folder: Path) -> str:
    """Returns the stage key of a stage that just ran; "" as long as DVC has not noted its end.

    Args:
        record: The stage's.
        folder: Where it ran. DVC may delete that of an experiment at any time.
    """
    path = path_of(record.name)
    entry = _entries(folder / LOCK).get(record.name) or {}
    noted = lockfile.hashes(entry.get("outs")).get(path.as_posix())
    try:
        return _key(entry) if noted and noted == files.md5(folder / path) else ""
    except FileNotFoundError:
        return ""


def _entries(path: Path) -> dict[str, Any]:
    """Returns the entries by stage; none if the file is missing, or DVC is writing it."""
    try:
        return _parsed(path, path.stat().st_mtime_ns)
    except (FileNotFoundError, InputError):
        return {}


@functools.lru_cache(maxsize=8)
def _parsed(path: Path, _modified: int) -> dict[str, Any]:
    return (files.read_yaml(path) or {}).get("stages") or {}


def _key(entry: dict[str, Any]) -> str:
    parts = [entry.get("cmd"), lockfile.hashes(entry.get("deps")), entry.get("params")]
    return files.key(json.dumps(parts, sort_keys=True))
