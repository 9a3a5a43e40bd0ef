"""What DVC notes of the stages of a pipeline run, in dvc.lock."""

import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from stemtune.core import files, lockfile
from stemtune.core.errors import InputError
from stemtune.core.params import Params
from stemtune.core.paths import DATA, LISTED, LOCK


class Locked(BaseModel):
    """What dvc.lock holds once all stages are done.

    Attributes:
        digest: Of all of it except the stages that always run.
        stage_keys: By stage, a name for its command, inputs and params: equal work, equal key.
        outputs: DVC's hash by path, of what stages put out.
        data: DVC's hash of the data folder, or of data.dvc if the clips are in a remote.
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
    locked = lockfile.entries(LOCK)
    if missing := [name for name in names if name not in locked]:
        raise InputError(f"{LOCK} lacks {', '.join(missing)}; run `dvc repro`, then track")
    chosen = {name: locked[name] for name in names}
    outputs = {name: lockfile.hashes(entry.get("outs")) for name, entry in chosen.items()}
    stage_keys = {name: _key(entry) for name, entry in chosen.items()}
    inputs = lockfile.hashes(chosen["extract_frames"]["deps"])
    return Locked(
        digest=files.key(json.dumps([stage_keys, outputs], sort_keys=True)),
        stage_keys=stage_keys,
        outputs={path: md5 for found in outputs.values() for path, md5 in found.items()},
        data=inputs[str(DATA if str(DATA) in inputs else LISTED)],
    )


def _key(entry: dict[str, Any]) -> str:
    parts = [entry.get("cmd"), lockfile.hashes(entry.get("deps")), entry.get("params")]
    return files.key(json.dumps(parts, sort_keys=True))
