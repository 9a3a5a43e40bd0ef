"""What LiteRT files cost on this machine: time by the clock, peak memory, bytes.

It needs the standard library, NumPy and `ai_edge_litert`. The files run in processes of their own,
which hold nothing else. So a stage and `stemtune time` measure the same.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stemtune.core import processor, terminal
from stemtune.core.errors import InputError

ROUNDS = 100
# The 95th percentile of fewer is nearly their largest.
FEWEST_ROUNDS = 20
# Of the process whose memory is measured; more do not need more.
MEMORY_ROUNDS = 2
NEEDED = {"ai_edge_litert": "ai-edge-litert", "numpy": "numpy"}
LONGEST = 300


@dataclass(frozen=True)
class Price:
    """What a file costs on a machine; an entry of metrics/latency.json.

    Attributes:
        ms_median: Milliseconds for a frame by the clock, median over rounds.
        ms_p95: The 95th percentile of the same.
        threads: On which it ran.
        processor: Name of the machine's processor.
        bytes: Size of the file.
        peak_mib: Peak resident memory of a process that loads and runs this file alone, MiB, with
            Python, NumPy and LiteRT; None if the system has no count of it.
        busy_share: Of time in which other programs had the processor, in [0, 1]; None with several
            threads, as these wait for each other too.
    """

    ms_median: float
    ms_p95: float
    threads: int
    processor: str
    bytes: int
    peak_mib: float | None
    busy_share: float | None

    def numbers(self) -> dict[str, float]:
        """Returns what was measured, by name."""
        peak = {} if self.peak_mib is None else {"peak_mib": self.peak_mib}
        return {"ms_median": self.ms_median, "ms_p95": self.ms_p95} | peak


@dataclass(frozen=True)
class Timed:
    """Files that were timed side by side: their prices, by the file's name."""

    prices: dict[str, Price]

    @property
    def note(self) -> str:
        """What people should know of them; "": nothing."""
        return processor.busy_note(next((each.busy_share for each in self.prices.values()), None))

    def content(self) -> dict[str, dict[str, Any]]:
        """Returns the content of metrics/latency.json, which `stemtune time --json` prints too."""
        return {name: asdict(price) for name, price in self.prices.items()}


def measure(paths: Sequence[Path], threads: int = 1, rounds: int = ROUNDS) -> Timed:
    """Times files side by side.

    Args:
        paths: The files, each of another name.
        threads: On which each runs.
        rounds: How often each is timed.

    Raises:
        InputError: A file cannot be run, two have one name, or a package is missing.
    """
    for module, package in NEEDED.items():
        if find_spec(module) is None:
            raise InputError(
                f"{package} is not installed for {sys.executable}; install it with "
                f"`{sys.executable} -m pip install {' '.join(NEEDED.values())}`"
            )
    _require_names(paths)
    if not paths:
        return Timed({})
    # One by one first: a file that ends its process is known by name then.
    peaks = []
    with terminal.steps("measuring memory and time", len(paths) + 1, "runs"):
        for path in paths:
            peaks.append(_run([path], threads, MEMORY_ROUNDS)["peak_mib"])
            terminal.move()
        timed = _run(paths, threads, rounds)
    import numpy as np

    busy = max(0.0, round(1 - timed["share"], 3)) if threads == 1 else None
    prices = {
        path.name: Price(
            ms_median=round(float(np.median(runs)), 4),
            ms_p95=round(float(np.percentile(runs, 95)), 4),
            threads=threads,
            processor=processor.name(),
            bytes=path.stat().st_size,
            peak_mib=None if peak is None else round(peak, 1),
            busy_share=busy,
        )
        for path, peak, runs in zip(paths, peaks, timed["milliseconds"], strict=True)
    }
    return Timed(prices)


def _require_names(paths: Sequence[Path]) -> None:
    by_name: dict[str, Path] = {}
    for path in paths:
        if not path.is_file():
            said = "is no file" if path.exists() else "does not exist"
            said = "is a folder; name the files in it" if path.is_dir() else said
            raise InputError(f"{path} {said}")
        if path.name in by_name:
            raise InputError(
                f"{by_name[path.name]} and {path} have one name, and prices are listed by name; "
                "leave one out or rename it"
            )
        by_name[path.name] = path


def _run(paths: Sequence[Path], threads: int, rounds: int) -> Any:
    """Runs files in a process of their own, and returns what it prints.

    Raises:
        InputError: A file cannot be run, or ended the process.
        RuntimeError: The process failed for another reason.
    """
    from stemtune.serving import timing_process

    # -P: modules beside that file have names like those of packages.
    command = [sys.executable, "-P", timing_process.__file__, str(threads), str(rounds)]
    # LiteRT remarks on standard error that it has started.
    done = subprocess.run([*command, *map(str, paths)], capture_output=True, check=False)  # noqa: S603
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        if len(paths) == 1:
            raise InputError(f"{paths[0]}: LiteRT crashed on it ({name}); the file may be damaged")
        raise InputError(
            f"the process that timed {len(paths)} files was ended ({name}). All of them are in "
            "memory at once, so it may have been short: time fewer files"
        )
    if done.returncode:
        raise RuntimeError(done.stderr.decode(errors="replace"))
    found = json.loads(done.stdout)
    if "problem" in found:
        problem = found["problem"][:LONGEST]
        raise InputError(f"{paths[found['file']]} is no LiteRT file that can be timed: {problem}")
    return found
