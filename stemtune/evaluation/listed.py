"""plots/candidates.csv: the candidates of the last run, as the stage report lists them."""

import csv
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from stemtune.core.errors import InputError
from stemtune.core.paths import PLOTS

CANDIDATES = PLOTS / "candidates.csv"


class Listed(BaseModel):
    """A row of the list, which `recommending.Choice.table` makes.

    Attributes:
        candidate: Its name, such as `retrained_224_int8 on 1 frame`.
        frames: Of a clip, that it looks at.
        milliseconds: A clip, mean.
        clip_accuracy: On test clips, in [0, 1].
        clip_accuracy_low: Lower end of its 95% confidence interval.
        clip_accuracy_high: Upper end of it.
        on_front: Whether it is on the Pareto front of price and accuracy.
        is_chosen: Whether it is the one chosen.
        is_reference: Whether the others are compared with it.
        as_in_paper: Whether it is a model of the paper, on all frames.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    candidate: str
    frames: int
    milliseconds: float
    clip_accuracy: float
    clip_accuracy_low: float
    clip_accuracy_high: float
    on_front: bool
    is_chosen: bool
    is_reference: bool
    as_in_paper: bool


def read(path: Path = CANDIDATES) -> list[Listed]:
    """Returns the candidates by rising price; none if the file is missing, as nothing has a price.

    Raises:
        InputError: The file holds something else.
    """
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as table:
            return [Listed.model_validate(row) for row in csv.DictReader(table)]
    except ValidationError as error:
        [first, *_] = error.errors()
        raise InputError(
            f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}; got {first['input']!r}. "
            "`dvc repro --single-item --force report` writes it again"
        ) from None
