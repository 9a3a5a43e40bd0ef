"""The frame store: one entry per clip, `frames/<prefix>/<key>.npz`, with all its measurements.

A key names the clip's content and how it is decoded. An entry has the array `facts`, JSON as bytes,
and the frames as arrays `0`, `1`, … of uint8, RGB, squares of one side. A clip that is refused for
good has no frames, and its facts are the reason.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from stemtune.store import arrays

FACTS, REFUSED = "facts", "refused"
# Entries that are opened at a time: the wait for a network is longer than the work.
READERS = 8


class Measurements(BaseModel):
    """What decoding a clip gives: columns of the manifest, whose module explains them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    frame_seconds: list[float] = []
    frame_side: int = 0
    available: int = 0
    width: int = 0
    height: int = 0
    duration: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    hashes: list[str] = []


@dataclass(frozen=True)
class Refusal:
    """Why a clip gives no frames, however often it is decoded."""

    reason: str


Facts = Measurements | Refusal


def write(folder: Path, key: str, facts: Facts, frames: Sequence[np.ndarray] | np.ndarray) -> None:
    """Writes an entry, whole or not at all.

    Args:
        folder: The frame store.
        key: Of the entry.
        facts: What is known of the clip.
        frames: (n, side, side, 3), uint8; none of a clip that is refused.
    """
    plain = facts.model_dump() if isinstance(facts, Measurements) else {REFUSED: facts.reason}
    content = np.frombuffer(json.dumps(plain).encode(), np.uint8)
    numbered = {str(index): frame for index, frame in enumerate(frames)}
    arrays.write(arrays.path_of(folder, key), **{FACTS: content, **numbered})


def facts(folder: Path, key: str) -> Facts | None:
    """Returns what is known of a clip, without reading its frames.

    Returns:
        None: There is no entry, it is damaged, or another version wrote it.
    """
    try:
        with arrays.opened(arrays.path_of(folder, key)) as entry:
            content: dict[str, Any] = json.loads(entry[FACTS].tobytes())
            if REFUSED in content:
                return Refusal(content[REFUSED])
            return Measurements.model_validate(content)
    except (FileNotFoundError, arrays.DamagedError, ValidationError, TypeError):
        return None


def all_facts(folder: Path, keys: Sequence[str]) -> dict[str, Facts]:
    """Returns what is known of clips by key; keys without an entry are left out."""
    there = arrays.keys(folder)
    asked = [key for key in keys if key in there]
    with ThreadPoolExecutor(READERS) as threads:
        found = threads.map(lambda key: facts(folder, key), asked)
        return {key: known for key, known in zip(asked, found, strict=True) if known}


def read(folder: Path, key: str, side: int) -> np.ndarray:
    """Returns all frames of a clip (n, side, side, 3).

    Raises:
        DamagedError: The entry is damaged, or has no frames of that side.
    """
    path = arrays.path_of(folder, key)
    with arrays.opened(path) as entry:
        return np.stack([_frame(entry, index, side, path) for index in range(len(entry) - 1)])


def read_frame(folder: Path, key: str, index: int, side: int) -> np.ndarray:
    """Returns one frame of a clip (side, side, 3), without the others; raises as `read` does."""
    path = arrays.path_of(folder, key)
    with arrays.opened(path) as entry:
        return _frame(entry, index, side, path)


def _frame(entry: arrays.Reader, index: int, side: int, path: Path) -> np.ndarray:
    frame = entry[str(index)]
    if frame.shape != (side, side, 3) or frame.dtype != np.uint8:
        raise arrays.damaged(path, f"it has frames of {frame.shape} where {side} px are expected")
    return frame
