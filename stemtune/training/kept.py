"""Finished trainings of heads, kept while a stage runs that takes hours, in case it is killed.

Each stage has a folder of its own. A training is found by its plan, its data and the code that
trains, so an edit of any of them trains again.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter

from stemtune.core import files
from stemtune.core.environment import describe
from stemtune.core.paths import UNFINISHED_SEARCH
from stemtune.core.results import Training
from stemtune.training.dataset import Splits

if TYPE_CHECKING:
    from stemtune.training.heads import HeadPlan

PACKAGE = Path(__file__).parent.parent
# What decides about a trained head, besides its plan and data.
CODE = ("core", "networks", "training")
TRAINING = TypeAdapter(Training)


@dataclass(frozen=True)
class Kept:
    """The finished trainings of a stage, by its name.

    Attributes:
        stage: Its name.
        environment: Of the process that runs the stage. Other machines and processes that train
            for it, whose variables may differ, keep trainings under the same.
    """

    stage: str
    environment: Any = field(default_factory=describe)

    @property
    def folder(self) -> Path:
        """Where they are."""
        return UNFINISHED_SEARCH / self.stage

    def path(self, plan: "HeadPlan", data: Splits) -> Path:
        """Returns the file of a training, whether it is there or not."""
        settings = asdict(replace(plan, name="", weights=(), moments=()))
        arrays = map(np.ascontiguousarray, (*data.train, *data.validation, *plan.weights))
        key = files.key(settings, data.views, files.digest(*arrays), code(), self.environment)
        return self.folder / f"{key}.npz"

    def clear(self) -> None:
        """Deletes them, as the stage is done."""
        if self.folder.exists():
            files.remove(self.folder)


def write(path: Path, training: Training, arrays: Sequence[np.ndarray]) -> None:
    """Writes a training with the arrays that belong to it."""
    with files.replacing(path) as beside:
        np.savez(beside, *arrays, training=TRAINING.dump_json(training).decode())


def read(path: Path) -> tuple[Training, list[np.ndarray]]:
    """Reads what `write` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        arrays = [stored[f"arr_{number}"] for number in range(len(stored.files) - 1)]
        return TRAINING.validate_json(str(stored["training"])), arrays


@cache
def code() -> str:
    """Returns a checksum of the code that decides about a trained head."""
    return files.key([sorted(files.checksums(PACKAGE / name).items()) for name in CODE])
