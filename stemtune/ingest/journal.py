"""Outcomes of clips, noted as they come, so that what was cut off goes on where it stopped.

A chunk of clips has a file of its own, a line per clip. What is begun again, on another machine
perhaps, reads the chunk's file and adds to it.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from stemtune.core import files, litter

SUFFIX = ".jsonl"
Model = TypeVar("Model", bound=BaseModel)


def read_all(folder: Path, kind: type[Model]) -> dict[str, Model]:
    """Returns what all chunks have noted, by name; nothing where the folder is missing."""
    noted: dict[str, Model] = {}
    for path in litter.visible(folder, f"*{SUFFIX}"):
        noted |= _read(path, kind)
    return noted


def read(folder: Path, chunk: str, kind: type[Model]) -> dict[str, Model]:
    """Returns what a chunk has noted, by name."""
    path = folder / f"{chunk}{SUFFIX}"
    return _read(path, kind) if path.exists() else {}


@contextmanager
def noting(folder: Path, chunk: str) -> Iterator[Callable[[str, BaseModel], None]]:
    """Yields what notes an outcome for a chunk, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{chunk}{SUFFIX}"
    with files.needing_room(path), path.open("a", encoding="utf-8") as lines:

        def note(name: str, outcome: BaseModel) -> None:
            lines.write(json.dumps([name, outcome.model_dump()]) + "\n")
            lines.flush()

        # The last line may have been cut off.
        lines.write("\n")
        yield note


def _read(path: Path, kind: type[Model]) -> dict[str, Model]:
    noted = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            name, outcome = json.loads(line)
            noted[name] = kind.model_validate(outcome)
        except (json.JSONDecodeError, ValidationError):
            # Empty, cut off, or of another version.
            continue
    return noted
