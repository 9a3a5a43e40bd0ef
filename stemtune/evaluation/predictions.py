"""predictions/: what each candidate answers, a Parquet file per candidate.

Columns: candidate; clip, path below the data folder; frame, its index in the clip's shard; split,
validation or test; probabilities, a list of float32 in the order of the classes.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from stemtune.core import files, litter
from stemtune.core.errors import InputError, Missing

SUFFIX = ".parquet"


def write(
    folder: Path, candidate: str, frames: pd.DataFrame, probabilities: Mapping[str, np.ndarray]
) -> None:
    """Writes a candidate's answers; equal answers give equal bytes.

    Args:
        folder: `predictions/`.
        candidate: Its name.
        frames: The frame table.
        probabilities: By split, (frames of the split, classes).
    """
    parts = [
        frames.loc[frames["split"] == split, ["clip", "index", "split"]].assign(
            candidate=candidate, probabilities=[*rows.astype(np.float32)]
        )
        for split, rows in probabilities.items()
    ]
    table = pd.concat(parts, ignore_index=True).rename(columns={"index": "frame"})
    with files.replacing(folder / f"{candidate}{SUFFIX}") as beside:
        table[["candidate", "clip", "frame", "split", "probabilities"]].to_parquet(
            beside, index=False
        )


def read_file(path: Path) -> pd.DataFrame:
    """Returns what `write` wrote of one candidate; raises InputError if the file is damaged."""
    try:
        return pd.read_parquet(path)
    except (ValueError, OSError) as error:
        said = str(error).splitlines()[0]
        remedy = f"delete {path.parent}, and `dvc repro` makes it again"
        raise InputError(f"{path} is no Parquet file: {said}; {remedy}") from None


def read(folder: Path, split: str) -> dict[str, np.ndarray]:
    """Returns each candidate's answers on a split, (frames, classes), in the frame table's order.

    Raises:
        Missing: There are none.
        InputError: A file is damaged.
    """
    found = {}
    for path in litter.visible(folder, f"*{SUFFIX}"):
        table = read_file(path)
        if rows := list(table.loc[table["split"] == split, "probabilities"]):
            found[path.stem] = np.stack(rows)
    if not found:
        raise Missing(folder / f"*{SUFFIX}")
    return found
