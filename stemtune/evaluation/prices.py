"""The price of a clip's answer, and the candidates that are worth their price."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, RootModel

from stemtune.core import typed_json
from stemtune.core.errors import InputError
from stemtune.evaluation.clip_answers import ClipAnswers


class Price(NamedTuple):
    """Milliseconds a clip, of the exported file on the device; decoding is not in it.

    Attributes:
        mean: Over clips.
        worst: Of the clip that takes longest.
    """

    mean: float
    worst: float


class Point(NamedTuple):
    """A candidate in the plane of price (ms a clip) and clip accuracy (in [0, 1])."""

    milliseconds: float
    accuracy: float


class FilePrice(BaseModel):
    """What an exported file costs on a device; `serving.timing.Price` measures it.

    Attributes:
        ms_median: Milliseconds for a frame.
        ms_p95: The 95th percentile of the same; None: not known.
        bytes: Size of the file; None: not known.
        peak_mib: Peak resident memory of a process that runs it alone, MiB; None: not known.
        busy_share: Of time in which other programs had the processor, in [0, 1]; None: not known.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    ms_median: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    ms_p95: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    bytes: Annotated[int, Field(gt=0)] | None = None
    peak_mib: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    busy_share: Annotated[float, Field(ge=0, le=1)] | None = None


class _Latency(RootModel[dict[str, FilePrice]]):
    """The content of metrics/latency.json, or of what `stemtune time --json` prints."""


def read(path: Path) -> dict[str, FilePrice]:
    """Returns the price of each file, by its name without suffix.

    Args:
        path: metrics/latency.json, or a file with what `stemtune time --json` printed.

    Raises:
        InputError: It is missing, or holds something else.
    """
    remedy = "`stemtune time --json FILE...` prints such a file, and `dvc repro` makes ours"
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"there is no file {path}; {remedy}") from None
    timed = typed_json.parse(text, str(path), _Latency, remedy).root
    return {Path(name).stem: price for name, price in timed.items()}


def of_answers(answers: ClipAnswers, milliseconds: float) -> Price:
    """Returns what answers cost: frames looked at, times the milliseconds a frame."""
    spent = answers.frames * milliseconds
    return Price(float(spent.mean()), float(spent.max()))


def of_cascade(
    small: ClipAnswers,
    full: ClipAnswers,
    asked: np.ndarray,
    small_milliseconds: float,
    full_milliseconds: float,
) -> Price:
    """Returns what a cascade's answers cost; the worst case is a clip for which both are run.

    Args:
        small: Answers of the model that is always run.
        full: Answers of the one that is asked if the small one is unsure.
        asked: For which clips it is, (clips,).
        small_milliseconds: A frame.
        full_milliseconds: A frame.
    """
    first, second = small.frames * small_milliseconds, full.frames * full_milliseconds
    return Price(float((first + asked * second).mean()), float((first + second).max()))


def front(points: Mapping[str, Point]) -> list[str]:
    """Returns the Pareto front: names, by rising price, of candidates that no other one beats.

    Another one beats a candidate if it is at most as dear and at least as accurate, and not equal
    in both. Of equal ones the first by name is kept.
    """
    kept: list[str] = []
    most = -np.inf
    for name in sorted(
        points, key=lambda each: (points[each].milliseconds, -points[each].accuracy, each)
    ):
        if points[name].accuracy > most:
            kept.append(name)
            most = points[name].accuracy
    return kept
