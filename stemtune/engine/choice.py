"""Which engine a user chose: by environment, or for good in a file that git and DVC leave alone."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stemtune.core import dvc, files
from stemtune.core.errors import InputError
from stemtune.engine.engine import Engine, Local
from stemtune.engine.ray_engine import RayEngine

ENGINE_VARIABLE, ADDRESS_VARIABLE = "STEMTUNE_ENGINE", "RAY_ADDRESS"
FILE = Path(".stemtune.yaml")
ALLOWED = {
    "engine": "local or ray",
    "address": "HOST:PORT, auto or nothing",
    "workers": "a whole number from 1 on",
}


class Choice(BaseModel):
    """Where work runs; as keys of `FILE`.

    Attributes:
        engine: In this process (local), or on a Ray cluster (ray).
        address: Of the head of that cluster, or "auto": the one that this machine belongs to; "":
            a cluster of this machine alone, which lives as long as the stage.
        workers: Of the engine local, how many clips are decoded, and files judged, at a time;
            None: as many as there are cores that this process may use.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    engine: Literal["local", "ray"] = "local"
    address: str = ""
    workers: Annotated[int, Field(ge=1)] | None = None


def cores() -> int:
    """Returns how many cores this process may use, which may be fewer than the machine has."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        # macOS has none.
        return os.cpu_count() or 1


def read() -> Choice:
    """Returns the choice; an environment variable overrides the file.

    Raises:
        InputError: There is no such engine, or the file has another key.
    """
    path = dvc.project() / FILE
    settings, origin = {}, dict.fromkeys(Choice.model_fields, str(path))
    if path.exists():
        content = files.read_yaml(path)
        if content is not None and not isinstance(content, dict):
            raise InputError(f"{path} must have lines such as `engine: ray`; got {content!r}")
        settings = content or {}
    for key, variable in (("engine", ENGINE_VARIABLE), ("address", ADDRESS_VARIABLE)):
        if given := os.environ.get(variable, "").strip():
            settings, origin = settings | {key: given}, origin | {key: variable}
    try:
        choice = Choice.model_validate(settings)
    except ValidationError as error:
        raise InputError("\n".join(_explain(detail, origin) for detail in error.errors())) from None
    if "://" in choice.address:
        raise InputError(
            f"{origin['address']}: {choice.address!r} is no address that a stage can use; give "
            "HOST:PORT or auto, and run on a machine of the cluster"
        )
    return choice


def choose(threads: int, prepare: Callable[[], None] | None = None) -> Engine:
    """Returns the chosen engine; nothing of it is started before it is used.

    Args:
        threads: Of a network elsewhere.
        prepare: Is run once in each process elsewhere, before anything is loaded there; None:
            chunks run no network.

    Raises:
        InputError: As `read`.
    """
    choice = read()
    if choice.engine == "local":
        return Local(choice.workers or cores())
    return RayEngine(choice.address, threads, prepare)


def _explain(detail: Any, origin: dict[str, str]) -> str:
    [key] = detail["loc"]
    if key not in origin:
        return f"{FILE}: unknown key {key!r}; it takes {', '.join(origin)}"
    return f"{origin[key]}: must be {ALLOWED[key]}; got {detail['input']!r}"
