"""What it costs that there are many clips, apart from decoding them and running networks.

The clips are small files of noise, and what decoding them would have measured is drawn. Entries are
of real size: 600 kB of frames. Each is linked under many keys, until DVC makes a copy of each, as
a stage may write into them: a hundred thousand need 60 GB below TMPDIR.
Seconds are the processor's, of all processes together. A machine that others share gives about the
same numbers.

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
from stemtune.ingest import data_docs, expectations, extraction, ingest_summary, listing
from stemtune.ingest import manifest as ingest_manifest
from stemtune.ingest.near_duplicates import clusters
from stemtune.store import arrays, frame_store, manifest
from stemtune.store.frame_store import Measurements

EXTRACT = params.load(project.ROOT / "params.yaml").extract_frames
CLASSES, FRAMES, BYTES = 100, 4, 2000
# Keys of one file; some file systems allow few links.
LINKS = 1000
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
    rows = [[step, *(columns[count].get(step) for count in counts)] for step in columns[counts[0]]]
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
    found: list[listing.Listing] = []

    def list_clips() -> None:
        found.append(listing.read(root / "data", EXTRACT, 2, root / "checksums.json"))

    yield "list and hash all clips", list_clips
    # Their times are too new to be trusted at once.
    long_ago = 10**9
    for clip in found[0].clips:
        os.utime(clip.path, (long_ago, long_ago))
    list_clips()
    yield "list them again", list_clips
    clips, store = found[-1].clips, root / "frames"
    _write_entries(store, [extraction.key_of(clip, EXTRACT) for clip in clips], random)
    planned: list[dict[str, frame_store.Facts]] = []
    yield (
        "read what is known of all clips",
        lambda: planned.append(extraction.plan(clips, store, EXTRACT)[0]),
    )
    # Linked entries have the hashes of few.
    known = {key: _drawn(random) for key in planned[0]}
    hashes = [facts.hashes for facts in known.values()]
    yield "near duplicates", lambda: list(clusters(hashes, len(hashes), 10))
    yield "look for other entries", lambda: arrays.remove_others(store, known)
    made = []
    without = EXTRACT.model_copy(update={"near_duplicates": None})
    yield (
        "groups, splits, manifest",
        lambda: made.append(ingest_manifest.build(found[-1], {**known}, without)),
    )
    [table] = made
    yield "write the manifest", lambda: manifest.write(table, root / "table.parquet")
    checked = []
    yield "Great Expectations", lambda: checked.append(expectations.check(table, EXTRACT))
    [validation] = checked

    def show() -> None:
        ingest_summary.summary(table, table, len(table), len(table))
        ingest_summary.intake(table, validation.results)
        data_docs.write(validation, root / "docs.html")

    yield "summary and Data Docs", show


def _write_entries(store: Path, keys: list[str], random: np.random.Generator) -> None:
    shape = (FRAMES, EXTRACT.size, EXTRACT.size, 3)
    for start in range(0, len(keys), LINKS):
        first, *others = keys[start : start + LINKS]
        frames = random.integers(0, 256, shape, np.uint8)
        frame_store.write(store, first, _drawn(random), frames)
        for key in others:
            path = arrays.path_of(store, key)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.hardlink_to(arrays.path_of(store, first))


def _drawn(random: np.random.Generator) -> Measurements:
    hashes = random.integers(0, 2**64, FRAMES, np.uint64, endpoint=False).tolist()
    return Measurements(
        frame_seconds=[0.5 * frame for frame in range(FRAMES)],
        frame_side=EXTRACT.size,
        available=100,
        width=320,
        height=240,
        duration=float(random.uniform(1, 10)),
        brightness=float(random.uniform(50, 200)),
        contrast=float(random.uniform(20, 80)),
        hashes=[f"{value:016x}" for value in hashes],
    )


def _dvc(root: Path) -> Iterator[Step]:
    """Yields what DVC does with a folder of an entry per clip."""

    def dvc(*arguments: str) -> Callable[[], object]:
        return lambda: project.run(root, "dvc", *arguments)

    yield "dvc add data", dvc("add", "--quiet", "data")
    (root / "dvc.yaml").write_text(PIPELINE.format(1))
    yield "dvc repro, all entries new", dvc("repro")
    yield "dvc repro, nothing to do", dvc("repro")
    (root / "data/class 0/new.avi").write_bytes(os.urandom(BYTES))
    shape = (FRAMES, EXTRACT.size, EXTRACT.size, 3)
    facts, frames = _drawn(np.random.default_rng(2)), np.zeros(shape, np.uint8)
    frame_store.write(root / "frames", "new", facts, frames)
    (root / "dvc.yaml").write_text(PIPELINE.format(2))
    yield "dvc repro, one entry new", dvc("repro")


def _seconds(step: Callable[[], object]) -> float:
    before = _used()
    step()
    return _used() - before


def _used() -> float:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, kinds))


if __name__ == "__main__":
    main()
