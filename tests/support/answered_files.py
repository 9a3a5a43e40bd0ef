"""Made-up answers of exported files, as evaluate and export keep them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from stemtune.evaluation import predictions
from stemtune.evaluation.file_answers import FileAnswers

CLIPS, FRAMES = 40, 3
# A frame's milliseconds, by file.
MILLISECONDS = {
    "baseline_float32": 9.0,
    "retrained_224_float32": 9.0,
    "retrained_224_int8": 4.0,
    "retrained_112_float32": 3.0,
    "retrained_112_float16": 3.0,
    "retrained_112_int8": 1.0,
}


def frame_table() -> pd.DataFrame:
    """Returns a frame table of as many clips in each split, each a group of its own."""
    rows = [
        {
            "clip": f"{split}/{clip:02}",
            "group": f"{split} {clip}",
            "index": index,
            "split": split,
            "label": clip % 2,
        }
        for split in ("train", "validation", "test")
        for clip in range(CLIPS)
        for index in range(FRAMES)
    ]
    return pd.DataFrame(rows)


def write(folder: Path, wrong: Mapping[str, int]) -> FileAnswers:
    """Writes answers of models (to predictions/) and of int8 files (to predictions_exported/).

    Args:
        folder: For both.
        wrong: By name, how many clips of each split it gets wrong: the first ones, unsurely.
    """
    table = frame_table()
    for name, mistakes in wrong.items():
        answers = {}
        for split in ("validation", "test"):
            rows = table[table["split"] == split]
            clip = rows["clip"].str[-2:].astype(int).to_numpy()
            missed = clip < mistakes
            label = np.where(missed, 1 - rows["label"], rows["label"])
            sure = np.where(missed, 0.6, 0.9)
            answers[split] = np.where(
                np.arange(2) == label[:, None], sure[:, None], 1 - sure[:, None]
            )
        home = folder / ("predictions_exported" if name.endswith("_int8") else "predictions")
        predictions.write(home, name, table, answers)
    return FileAnswers(folder / "predictions", folder / "predictions_exported")
