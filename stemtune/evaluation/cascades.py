"""Cascades: a small model answers a clip, and the full one is asked if the small one is unsure.

Unsure means that the highest of the small model's mean probabilities is no higher than a threshold
(Streeter, "Approximation algorithms for cascading prediction models", ICML 2018).
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from stemtune.core import typed_json
from stemtune.core.settings.block import Count, FileName
from stemtune.evaluation.clip_answers import ClipAnswers

SUFFIX = ".cascade.json"
FOLDS = 10


class Cascade(BaseModel):
    """The content of `exports/NAME.cascade.json`.

    Attributes:
        small: File beside it, of the model that is always run.
        full: File beside it, of the model that is asked if the small one is unsure.
        threshold: Of the small one's highest probability; up to it the full one is asked.
        small_frames: How many frames of a clip the small one looks at, see `looked_at`.
        full_frames: How many frames of a clip the full one looks at.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    small: FileName
    full: FileName
    threshold: Annotated[float, Field(ge=0, le=1)]
    small_frames: Count
    full_frames: Count


def write(folder: Path, name: str, cascade: Cascade) -> Path:
    """Writes a cascade beside its exports, and returns the path."""
    path = folder / f"{name}{SUFFIX}"
    typed_json.write(path, cascade)
    return path


def read(path: Path) -> Cascade:
    """Reads a cascade.

    Raises:
        Missing: The file is missing.
        InputError: It does not hold a cascade; the message names each key and the value seen.
    """
    return typed_json.read(path, Cascade)


def threshold(small: ClipAnswers, full: ClipAnswers, truth: pd.DataFrame) -> float:
    """Returns the lowest threshold at which the cascade gets as many clips right as the full model.

    Args:
        small: Answers for the validation clips.
        full: Answers for the same clips.
        truth: Their labels, as `clip_answers.truth` returns it.

    Returns:
        In [0, 1], midway between the last clip for which the full model is asked and the
        next one. 0: never; 1: always.
    """
    order = np.argsort(small.confidence, kind="stable")
    sure = small.confidence[order]
    gains = full.right(truth)[order].astype(int) - small.right(truth)[order]
    # How many clips are won by asking for none, for the least sure one, for the two least sure …
    won = np.concatenate([[0], np.cumsum(gains)])
    # Equally sure clips are asked for together.
    possible = np.concatenate([[True], sure[1:] > sure[:-1], [True]])
    number = int(np.argmax((won >= gains.sum()) & possible))
    if number in (0, len(sure)):
        return float(number > 0)
    return float(sure[number - 1 : number + 1].mean())


def held_out(small: ClipAnswers, full: ClipAnswers, truth: pd.DataFrame) -> np.ndarray:
    """Returns which validation clips a cascade gets right, (clips,), without flattery.

    The threshold that `threshold` returns is made for these very clips, and loses none of them. So
    each tenth of the groups is judged with a threshold chosen on the others (cross-validation).

    Args:
        small: As `threshold` takes it.
        full: As `threshold` takes it.
        truth: As `threshold` takes it.
    """
    folds = np.unique(truth["group"], return_inverse=True)[1] % FOLDS
    right = np.empty(len(truth), dtype=bool)
    for fold in np.unique(folds):
        judged = folds == fold
        others = judged if judged.all() else ~judged
        chosen = threshold(small.some(others), full.some(others), truth[others])
        found = answers(small.some(judged), full.some(judged), chosen)
        right[judged] = found.right(truth[judged])
    return right


def asked(small: ClipAnswers, threshold: float) -> np.ndarray:
    """Returns for which clips the full model is asked, (clips,)."""
    return small.confidence <= threshold


def answers(small: ClipAnswers, full: ClipAnswers, threshold: float) -> ClipAnswers:
    """Returns the cascade's answers; `frames` counts those that either model looked at.

    Args:
        small: Answers of the one.
        full: Answers of the other, for the same clips.
        threshold: See `threshold`.
    """
    unsure = asked(small, threshold)
    return ClipAnswers(
        small.clips,
        np.where(unsure[:, None], full.probabilities, small.probabilities),
        small.frames + unsure * full.frames,
    )
