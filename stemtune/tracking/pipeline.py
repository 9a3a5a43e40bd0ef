"""What DVC notes of the stages of a pipeline run."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from stemtune.core import files, lockfile
from stemtune.core.errors import InputError
from stemtune.core.params import Params
from stemtune.core.paths import LOCK
from stemtune.core.records import Record, path_of


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
    trained = ["tune_lr", "train_best", "train_resized", *stems]
    return ["extract_frames", "embed_frames", *trained, "evaluate", "export", "report"]


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
    locked = files.read_yaml(LOCK)["stages"]
    if missing := [name for name in names if name not in locked]:
        raise KeyError(f"{LOCK} lacks {missing}; run `dvc repro`, which runs them and then track")
    chosen = {name: locked[name] for name in names}
    outputs = {name: lockfile.hashes(entry.get("outs")) for name, entry in chosen.items()}
    stage_keys = {name: _key(entry) for name, entry in chosen.items()}
    return Lock(
        digest=files.key(json.dumps([stage_keys, outputs], sort_keys=True)),
        stage_keys=stage_keys,
        outputs={path: md5 for found in outputs.values() for path, md5 in found.items()},
        data=lockfile.hashes(chosen["extract_frames"]["deps"])["data"],
    )


def key_of(record: Record, folder: Path) -> str:
    """Returns the stage key of a stage that just ran; "" as long as DVC has not noted its end.

    Args:
        record: The stage's.
        folder: Where it ran; of an experiment, DVC may delete it at any time.
    """
    path = path_of(record.name)
    try:
        locked = files.read_yaml(folder / LOCK) or {}
        md5 = files.md5(folder / path)
    except (FileNotFoundError, InputError):
        # DVC deletes the copies that it makes, and writes its lock piece by piece.
        return ""
    entry = (locked.get("stages") or {}).get(record.name) or {}
    noted = lockfile.hashes(entry.get("outs"))
    return _key(entry) if noted.get(path.as_posix()) == md5 else ""


def _key(entry: dict[str, Any]) -> str:
    parts = [entry.get("cmd"), lockfile.hashes(entry.get("deps")), entry.get("params")]
    return files.key(json.dumps(parts, sort_keys=True))
