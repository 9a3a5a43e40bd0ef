"""The page of mistakes: the test clips that the baseline or a stem gets wrong."""

from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd

from stemtune.core import printable
from stemtune.core.paths import DATA
from stemtune.evaluation import metrics
from stemtune.report import pictures, templates

PAGE = Path(__file__).with_name("mistakes.html.j2")
MODELS = ("baseline", "stem")
STEM_ALONE, BASELINE_ALONE, BOTH = KINDS = ("the stem alone", "the baseline alone", "both")
# Clips of a kind on the page, frames of a clip, and their side, px.
CLIPS, FRAMES, SIDE = 16, 4, 136


def find(
    test: pd.DataFrame, classes: Sequence[str], baseline: np.ndarray, stem: np.ndarray
) -> pd.DataFrame:
    """Returns the test clips that one of two models misses, the surest wrong answers first.

    Args:
        test: The test frames, rows of the frame table.
        classes: Names of the classes, by label.
        baseline: Probabilities (test frames, classes) of the baseline.
        stem: Those of a model with a stem.

    Returns:
        Columns: clip; actual, its class; shard and indexes, of its test frames; missed_by, one of
        `KINDS`; and of both models, as `stem_predicted`: predicted, the class with the highest mean
        probability over these frames; probability, that mean; and own, that of the clip's class.
    """
    clips = test.groupby("clip").agg(
        actual=("class", "first"),
        label=("label", "first"),
        shard=("shard", "first"),
        indexes=("index", list),
    )
    for model, probabilities in zip(MODELS, (baseline, stem), strict=True):
        means = metrics.clip_probabilities(probabilities, test).to_numpy()
        clips[f"{model}_predicted"] = [classes[label] for label in means.argmax(axis=1)]
        clips[f"{model}_probability"] = means.max(axis=1)
        clips[f"{model}_own"] = means[np.arange(len(clips)), clips["label"]]
    by_baseline, by_stem = (clips[f"{model}_predicted"] != clips["actual"] for model in MODELS)
    missed = [by_baseline & by_stem, by_baseline, by_stem]
    clips["missed_by"] = np.select(missed, [BOTH, BASELINE_ALONE, STEM_ALONE], "")
    # Of a right answer it is 0.
    sure = [clips[f"{model}_probability"] - clips[f"{model}_own"] for model in MODELS]
    clips["margin"] = np.maximum(*sure)
    wrong = clips[clips["missed_by"] != ""].reset_index()
    return wrong.sort_values(["margin", "clip"], ascending=[False, True], ignore_index=True)


def render(
    found: pd.DataFrame, clips: int, stem: str, read: Callable[[str, int], np.ndarray]
) -> str:
    """Returns the page as HTML, with up to `CLIPS` of each kind; it says how many are left out.

    Args:
        found: From `find`.
        clips: How many test clips there are.
        stem: Name of the variant.
        read: Returns a frame (side, side, 3), uint8, by its shard and its index there.
    """
    kinds = {kind: found[found["missed_by"] == kind].to_dict("records") for kind in KINDS}
    return templates.load(PAGE).render(
        kinds={kind: mistakes for kind, mistakes in kinds.items() if mistakes},
        most=CLIPS,
        count=len(found),
        clips=clips,
        stem=stem,
        name=printable.name,
        address=address,
        frames=lambda mistake: [
            pictures.address(read(mistake["shard"], index), SIDE)
            for index in spread(mistake["indexes"])
        ],
    )


def address(clip: str) -> str:
    """Returns where a clip is, seen from the page."""
    return quote(f"../{DATA.as_posix()}/{clip}")


def spread(indexes: Sequence[int]) -> list[int]:
    """Returns up to `FRAMES` of the indexes, from the first to the last."""
    places = np.linspace(0, len(indexes) - 1, min(FRAMES, len(indexes))).round().astype(int)
    return [indexes[place] for place in places]
