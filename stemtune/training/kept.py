"""Trainings that a killed stage finished, kept for its next run if each takes hours.

Each stage has a folder of its own. A training is found by its plan, its data and the code that
trains, so an edit of any of them trains again.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stemtune.core import files
from stemtune.core.paths import UNFINISHED_SEARCH
from stemtune.core.records import environment
from stemtune.core.results import Epoch, Training
from stemtune.training.dataset import Splits

PACKAGE = Path(__file__).parent.parent
# What decides about a trained head, besides its plan and data.
CODE = ("core", "networks", "training")


class Trained(NamedTuple):
    """A training of a head, its weights, and the values of its optimizer's variables."""

    training: Training
    weights: Sequence[np.ndarray]
    moments: Sequence[np.ndarray]


@dataclass(frozen=True)
class Memory:
    """The place of one training."""

    path: Path

    def read(self) -> Trained | None:
        """Returns the training if it is there."""
        if not self.path.exists():
            return None
        with np.load(self.path, allow_pickle=False) as stored:
            content = json.loads(str(stored["training"]))
            arrays = [stored[f"array_{number}"] for number in range(len(stored.files) - 1)]
        epochs = [Epoch.model_validate(epoch) for epoch in content["epochs"]]
        training = Training(content["learning_rate"], epochs, content["kept"])
        return Trained(training, arrays[: content["weights"]], arrays[content["weights"] :])

    def write(self, trained: Trained) -> None:
        """Keeps a training."""
        content = {
            "learning_rate": trained.training.learning_rate,
            "kept": trained.training.kept,
            "epochs": [epoch.model_dump() for epoch in trained.training.epochs],
            "weights": len(trained.weights),
        }
        both = enumerate([*trained.weights, *trained.moments])
        arrays = {f"array_{number}": array for number, array in both}
        with files.replacing(self.path) as beside:
            np.savez(beside, training=json.dumps(content), **arrays)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Kept:
    """The finished trainings of a stage."""

    stage: str

    @property
    def folder(self) -> Path:
        """Where they are."""
        return UNFINISHED_SEARCH / self.stage

    def of(self, plan: Any, data: Splits) -> Memory:
        """Returns the place of a training, by a `heads.HeadPlan` and its data."""
        before = plan.continues.weights if plan.continues else plan.start
        settings = asdict(replace(plan, name="", continues=None, start=None))
        arrays = [*data.train, *data.validation, *map(np.ascontiguousarray, before or ())]
        inputs = files.digest(*arrays)
        key = files.key(settings, plan.first, data.views, inputs, code(), environment())
        return Memory(self.folder / f"{key}.npz")

    def clear(self) -> None:
        """Deletes them, as the stage that trained them is done."""
        if self.folder.exists():
            files.remove(self.folder)


@cache
def code() -> str:
    """Returns a checksum of the code that decides about a trained head."""
    return files.key([sorted(files.checksums(PACKAGE / name).items()) for name in CODE])
