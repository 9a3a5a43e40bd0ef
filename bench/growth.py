"""Each stage on 1, 4 and 16 times as many clips: time per clip and memory should stay the same.

Starting up does not count: a straight line through the times for 1 and 4 times as many leads to
what 16 times as many should take.
"""

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench import measuring
from bench.project import NoiseProject, inherited
from stemtune.core.paths import TRACKING
from stemtune.store import manifest
from stemtune.tracking import service

TARGET = 1.1
TIMES = (1, 4, 16)
# In the order of the chain; what stands in no row is needed by what follows.
STAGES = {
    "extract_frames": "extract",
    "embed_frames": "embed",
    "tune_lr": "tune",
    "train_best": None,
    "add_stem@as_published": "stem",
    "evaluate": "evaluate",
    "export": None,
    "track": "track",
}


@dataclass(frozen=True)
class Size:
    """Clips, here pictures, of which there are 1, 4 and 16 times as many; stages; and runs."""

    clips: int
    stages: tuple[str, ...]
    runs: int


FULL = Size(clips=125, stages=tuple(STAGES), runs=1)
# Each stage has to start three times, which takes longer than what it does.
TINY = Size(clips=20, stages=("extract_frames",), runs=1)


class Cost(NamedTuple):
    """Seconds that a stage took, and the memory of its largest process at most, MiB."""

    seconds: float
    memory: float


def measure(size: Size) -> list[measuring.Row]:
    """Returns the rows `growth/<stage>`, in seconds, and `growth/<stage>/memory`, in MiB."""
    seen: dict[str, list[list[Cost]]] = {stage: [] for stage in size.stages}
    for _ in range(size.runs):
        runs = [_measure(times * size.clips, size.stages) for times in TIMES]
        for stage, of_stage in seen.items():
            of_stage.append([run[stage] for run in runs])
    return [
        row
        for stage in size.stages
        if (short := STAGES[stage])
        for row in _rows(f"growth/{short}", seen[stage], size.clips)
    ]


def _rows(name: str, seen: list[list[Cost]], clips: int) -> list[measuring.Row]:
    counts = [times * clips for times in TIMES]
    few, some, many = ([run[place] for run in seen] for place in range(len(TIMES)))
    per_clip = [
        max(0.0, two.seconds - one.seconds) / (counts[1] - counts[0])
        for one, two in zip(few, some, strict=True)
    ]
    expected = [
        two.seconds + (counts[2] - counts[1]) * rate
        for two, rate in zip(some, per_clip, strict=True)
    ]
    seconds = "; ".join(
        f"{statistics.median(cost.seconds for cost in costs):.1f} for {count}"
        for count, costs in zip(counts, (few, some), strict=False)
    )
    return [
        measuring.of_times(
            name,
            [cost.seconds for cost in many],
            expected,
            f"s for {counts[2]} clips, a straight line through {seconds}",
            TARGET,
        ),
        measuring.of_times(
            f"{name}/memory",
            [cost.memory for cost in many],
            [cost.memory for cost in few],
            f"MiB at most, {counts[2]} against {counts[0]} clips",
            TARGET,
        ),
    ]


def _measure(count: int, stages: Sequence[str]) -> dict[str, Cost]:
    """Returns the cost of each stage for N clips, under DVC."""
    with tempfile.TemporaryDirectory() as temporary:
        project = NoiseProject(Path(temporary) / "project", count)
        try:
            costs = {stage: _cost(project, stage) for stage in stages}
        finally:
            # Or it is still writing there when the folder is deleted.
            service.end(project.root / TRACKING)
        table = manifest.read(project.root / "manifest.parquet")
        used = len(manifest.used_clips(table))
        if used != count:
            raise AssertionError(f"growth: {used} clips were used of {count}")
    return costs


def _cost(project: NoiseProject, stage: str) -> Cost:
    started = time.perf_counter()
    command = ["dvc", "repro", "--quiet", "--single-item", stage]
    with (project.root / "said.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=project.root, env=inherited(), stdout=log, stderr=log
        )
        # Of the process and all that it waited for, the one that took most.
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = (project.root / "said.log").read_text(encoding="utf-8")
        raise RuntimeError(f"growth: {stage} ended with {process.returncode}:\n{said}")
    return Cost(seconds, usage.ru_maxrss / 1024)
