"""Joins exports in cascades, each a JSON file beside them."""

import itertools
from collections.abc import Collection

import pandas as pd

from stemtune.core.params import Params
from stemtune.core.paths import EXPORTED, EXPORTS, PREDICTIONS
from stemtune.evaluation import cascades, clip_answers
from stemtune.evaluation.cascades import Cascade
from stemtune.evaluation.comparison import RETRAINED, Comparison, named
from stemtune.evaluation.file_answers import FILE_SUFFIX, FLOAT32, INT8, FileAnswers
from stemtune.store.manifest import VALIDATION


def write_cascades(
    settings: Params, compared: Comparison, frames: pd.DataFrame, files: Collection[str]
) -> None:
    """Writes a cascade from each head of smaller frames, and from the best stem, to the full head.

    Args:
        settings: The content of params.yaml.
        compared: All models.
        frames: The frame table.
        files: Names of the exports, without suffix.
    """
    full = named(RETRAINED, settings.extract_frames.size)
    size = settings.extract_frames.size
    heads = [named(RETRAINED, each.key) for each in settings.retrained if each.side < size]
    planned = plan(
        FileAnswers(PREDICTIONS, EXPORTED),
        [*heads, compared.best_stem()],
        full,
        files,
        frames,
    )
    # DVC deletes what an earlier run left, but not where the stage is run by hand.
    for path in EXPORTS.glob(f"*{cascades.SUFFIX}"):
        path.unlink()
    for name, cascade in planned.items():
        cascades.write(EXPORTS, name, cascade)


def plan(
    answers: FileAnswers,
    smalls: Collection[str],
    full: str,
    files: Collection[str],
    frames: pd.DataFrame,
) -> dict[str, Cascade]:
    """Returns cascades by name, with thresholds that were chosen on validation.

    One that asks the full model for no clip, or for each, is no cascade and is left out.

    Args:
        answers: Of the files.
        smalls: Models that are asked first.
        full: The model that is asked if they are unsure.
        files: Those that there are, without suffix.
        frames: The frame table.
    """
    truth, found = clip_answers.truth(frames, VALIDATION), {}
    possible = itertools.product(smalls, (FLOAT32, INT8), clip_answers.numbers(frames))
    for small, precision, number in possible:
        below, above = f"{small}_{precision}", f"{full}_{precision}"
        if not {below, above} <= {*files}:
            continue
        threshold = cascades.threshold(
            answers.of(below, VALIDATION, number), answers.of(above, VALIDATION, number), truth
        )
        if 0 < threshold < 1:
            found[f"{small}_to_{full}_{precision}_{number}"] = Cascade(
                small=f"{below}{FILE_SUFFIX}",
                full=f"{above}{FILE_SUFFIX}",
                threshold=threshold,
                small_frames=number,
                full_frames=number,
            )
    return found
