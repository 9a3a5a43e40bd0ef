"""tuning/best.json: the learning rate that tune_lr found, for the stages that train at it."""

from pydantic import BaseModel, ConfigDict

from stemtune.core import typed_json
from stemtune.core.paths import BEST


class Best(BaseModel):
    """The trial that was chosen.

    Attributes:
        trial: Its name.
        learning_rate: Adam's.
        validation_accuracy: By which it was chosen, a mean over seeds, in [0, 1].
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    trial: str
    learning_rate: float
    validation_accuracy: float


def write(best: Best) -> None:
    """Writes tuning/best.json."""
    typed_json.write(BEST, best)


def read() -> Best:
    """Reads tuning/best.json.

    Raises:
        Missing: The file is missing.
        InputError: It holds something else; the message names the key and the value seen.
    """
    return typed_json.read(BEST, Best)
