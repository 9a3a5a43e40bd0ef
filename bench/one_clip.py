"""One clip added to many: `dvc repro embed_frames` after it, against decoding and embedding all."""

import hashlib
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench import measuring
from bench.project import NoiseProject
from stemtune.core.paths import TRACKING
from stemtune.tracking import service

# Of what the full run takes beyond starting up.
ALLOWED_SHARE = 0.1
# Clips among which one is added to see what starting up takes.
FEW = 40


@dataclass(frozen=True)
class Size:
    """Clips, here pictures, that one is added to; and runs."""

    clips: tuple[int, ...]
    runs: int


FULL = Size(clips=(3000,), runs=1)
# What starting up takes is then all that is seen.
TINY = Size(clips=(FEW,), runs=1)


def measure(size: Size) -> list[measuring.Row]:
    """Returns the rows `one_clip/<size>`, in seconds.

    Their target is the share of the full run that starting up takes, which is seen where one clip
    is added to `FEW`, and a tenth of the rest.
    """
    counts = dict.fromkeys((FEW, *size.clips))
    seen: dict[int, list[tuple[float, float]]] = {count: [] for count in counts}
    for _ in range(size.runs):
        for count in counts:
            seen[count].append(_measure(count))
    start = statistics.median(added for added, _ in seen[FEW])
    rows = []
    for count in size.clips:
        added, full = ([pair[side] for pair in seen[count]] for side in (0, 1))
        whole = statistics.median(full)
        rows.append(
            measuring.of_times(
                f"one_clip/{count}",
                added,
                full,
                f"s, all {count} clips; one added to {FEW} takes {start:.1f} s",
                (start + ALLOWED_SHARE * (whole - start)) / whole,
            )
        )
    return rows


def _measure(count: int) -> tuple[float, float]:
    """Returns seconds for one clip added to N, and for all of them before."""
    with tempfile.TemporaryDirectory() as temporary:
        project = NoiseProject(Path(temporary) / "project", count)
        try:
            full = measuring.seconds(lambda: project.repro("embed_frames"))
            before = _entries(project)
            project.add_pictures(1)
            added = measuring.seconds(lambda: project.repro("embed_frames"))
            _require_one_more(before, _entries(project), count)
        finally:
            # Or it is still writing there when the folder is deleted.
            service.end(project.root / TRACKING)
    return added, full


def _entries(project: NoiseProject) -> dict[str, str]:
    """Returns the checksum of every file of frames and of features by its path."""
    return {
        path.relative_to(project.root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("frames", "embeddings", "embeddings_augmented")
        for path in (project.root / folder).rglob("*.npz")
    }


def _require_one_more(before: dict[str, str], after: dict[str, str], count: int) -> None:
    """Raises AssertionError unless files of one clip came and the others are what they were."""
    frames = [sum(path.startswith("frames/") for path in files) for files in (before, after)]
    if frames != [count, count + 1] or not before.items() <= after.items():
        raise AssertionError(f"one_clip/{count}: {frames[0]} entries of frames became {frames[1]}")
