"""Made-up answers of exported files, as evaluate and export keep them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from dvc.utils.serialize import dump_yaml

from stemtune.core import files, typed_json
from stemtune.core.paths import METRICS
from stemtune.evaluation import cascades, predictions
from stemtune.evaluation.file_answers import FileAnswers
from stemtune.export import joining
from stemtune.store import manifest
from tests.support.project import ROOT
from tests.support.results import COMPARED

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


def make_project(folder: Path, wrong: Mapping[str, int]) -> None:
    """Writes what `stemtune recommend` reads into a folder: a project whose files have answers."""
    content = files.read_yaml(ROOT / "params.yaml")
    content["extract_frames"]["frames_per_clip"] = FRAMES
    dump_yaml(folder / "params.yaml", content)
    table = frame_table()
    clips = table.drop_duplicates("clip").rename(columns={"label": "class"})
    clips["class"] = clips["class"].map({0: "a", 1: "b"})
    columns = clips[["clip", "class", "group"]].assign(
        shard=clips["clip"].str.replace("/", "_"),
        frame_splits=[[split] * FRAMES for split in clips["split"]],
        quarantined="",
    )
    manifest.write(columns, folder / "manifest.parquet")
    answers = write(folder, wrong)
    prices = {f"{name}.tflite": {"ms_median": ms} for name, ms in MILLISECONDS.items()}
    (folder / "metrics").mkdir()
    files.write_json(folder / "metrics/latency.json", prices)
    typed_json.write(folder / METRICS, COMPARED)
    (folder / "exports").mkdir()
    planned = joining.plan(answers, ["retrained_112"], "retrained_224", [*MILLISECONDS], table)
    for name in MILLISECONDS:
        (folder / f"exports/{name}.tflite").touch()
    for name, cascade in planned.items():
        cascades.write(folder / "exports", name, cascade)


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
