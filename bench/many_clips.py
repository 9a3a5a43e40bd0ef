"""What it costs that there are many clips, apart from decoding them and running networks.

The clips are small files of noise, what decoding them would have measured is drawn, and shards are
small: what grows here grows with the number of clips. Seconds are the processor's, of all processes
together, so a shared machine gives the same numbers.

Run: python -m bench.many_clips 1000 10000 100000
"""

import os
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

# Not used here: its import is to count to no step.
import great_expectations  # noqa: F401
import numpy as np
from tabulate import tabulate

from bench import project
from stemtune.core import params
from stemtune.ingest import (
    clips,
    data_docs,
    expectations,
    extraction,
    ingest_summary,
    measurements,
    parts,
)
from stemtune.ingest.near_duplicates import clusters
from stemtune.store import manifest, shards

EXTRACT = params.load(project.ROOT / "params.yaml").extract_frames
CLASSES, FRAMES, BYTES = 100, 4, 2000
# Clips in a shard, where shards are larger.
TOGETHER = 100
SHAPE = (8, 8, 3)
PIPELINE = """
stages:
  extract_frames:
    cmd: echo {0} > manifest
    deps: [data]
    outs: [manifest, {{frames: {{persist: true}}}}]
"""

Step = tuple[str, Callable[[], object]]


def main() -> None:
    """Prints a table with a row per step and a column per number of clips."""
    counts = [int(written) for written in sys.argv[1:]] or [1000, 10000]
    columns: dict[int, dict[str, float]] = {}
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            columns[count] = _measure(Path(folder), count)
        print(f"{count} clips: {columns[count]}", flush=True)
    rows = [[step, *(columns[count][step] for count in counts)] for step in columns[counts[0]]]
    headers = ["s of the processor", *(f"{count:,} clips" for count in counts)]
    print(tabulate(rows, headers, tablefmt="github", floatfmt=".2f"))


def _measure(root: Path, count: int) -> dict[str, float]:
    """Returns the seconds of each step, and the memory of this process at most, MiB."""
    project.prepare(root)
    random = np.random.default_rng(1)
    for number in range(count):
        path = root / f"data/class {number % CLASSES}/{number:07}.avi"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.bytes(BYTES))
    taken = {name: _seconds(step) for name, step in _stage(root, random)}
    taken |= {name: _seconds(step) for name, step in _dvc(root)}
    return taken | {"MiB at most": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _stage(root: Path, random: np.random.Generator) -> Iterator[Step]:
    """Yields the steps of extract_frames except decoding."""
    found: list[clips.Clip] = []
    yield "list and hash clips", lambda: found.extend(clips.find(root / "data", EXTRACT, 2))
    part: list[clips.Clip] = []
    wanted = parts.Part(1, 10).has
    yield (
        "list all, hash a tenth (--part 1/10)",
        lambda: part.extend(clips.find(root / "data", EXTRACT, 2, wanted)),
    )
    outcomes = {extraction.shard_name(clip, EXTRACT): _drawn(random) for clip in found}
    hashes = [outcome.hashes for outcome in outcomes.values()]
    yield "near duplicates", lambda: list(clusters(hashes, len(hashes), 10))
    frames, shape = root / "frames", (FRAMES, *SHAPE)
    for name in outcomes:
        shards.write(shards.path_of(frames, name), random.integers(0, 255, shape, np.uint8))

    def check_shards() -> None:
        for name in outcomes:
            shards.is_whole(shards.path_of(frames, name), SHAPE, "uint8")
        shards.remove_others(frames, set(outcomes))

    yield "check all shards, remove others", check_shards
    made = []
    without = EXTRACT.model_copy(update={"near_duplicates": None})
    yield (
        "groups, splits, manifest",
        lambda: made.append(extraction.make_manifest(found, outcomes, {}, None, without)),
    )
    [table] = made

    def write_and_read() -> None:
        manifest.write(table, root / "table.parquet")
        measurements.of_manifest(manifest.read(root / "table.parquet"))

    yield "write and read the manifest", write_and_read
    checked = []
    yield "Great Expectations", lambda: checked.append(expectations.check(table, EXTRACT))
    [validation] = checked

    def show() -> None:
        ingest_summary.summary(table, table, len(table), len(table), [])
        ingest_summary.intake(table, validation.results)
        data_docs.write(validation, root / "docs.html")

    yield "summary and Data Docs", show


def _drawn(random: np.random.Generator) -> measurements.Measurements:
    hashes = random.integers(0, 2**64, FRAMES, np.uint64, endpoint=False).tolist()
    return measurements.NOTHING.model_copy(
        update={
            "frame_seconds": [0.5 * frame for frame in range(FRAMES)],
            "frame_side": EXTRACT.size,
            "available": 100,
            "width": 320,
            "height": 240,
            "duration": float(random.uniform(1, 10)),
            "brightness": float(random.uniform(50, 200)),
            "contrast": float(random.uniform(20, 80)),
            "hashes": [f"{value:016x}" for value in hashes],
        }
    )


def _dvc(root: Path) -> Iterator[Step]:
    """Yields what DVC does with a folder of a file per clip, and with larger shards."""

    def dvc(*arguments: str) -> Callable[[], object]:
        return lambda: project.run(root, "dvc", *arguments)

    together = root / "together"
    together.mkdir()
    every = sorted((root / "frames").iterdir())
    for start in range(0, len(every), TOGETHER):
        content = b"".join(path.read_bytes() for path in every[start : start + TOGETHER])
        (together / f"{start:07}").write_bytes(content)
    yield "dvc add data", dvc("add", "--quiet", "data")
    (root / "dvc.yaml").write_text(PIPELINE.format(1))
    yield "dvc repro, frames new", dvc("repro")
    yield "dvc repro, nothing to do", dvc("repro")
    (root / "data/class 0/new.avi").write_bytes(os.urandom(BYTES))
    shards.write(root / "frames/new.tfrecord", np.zeros((FRAMES, *SHAPE), np.uint8))
    (root / "dvc.yaml").write_text(PIPELINE.format(2))
    yield "dvc repro, one clip new", dvc("repro")
    yield f"dvc add, {TOGETHER} clips a shard", dvc("add", "--quiet", "together")
    yield f"dvc status, {TOGETHER} clips a shard", dvc("status", "together.dvc")


def _seconds(step: Callable[[], object]) -> float:
    before = _used()
    step()
    return _used() - before


def _used() -> float:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, kinds))


if __name__ == "__main__":
    main()
