"""Runs LiteRT files in a process of its own, and prints how long each run took.

It needs the standard library, NumPy and `ai_edge_litert`, and nothing of this project.

In:  arguments THREADS ROUNDS FILE…
Out: a line of JSON on standard output. `milliseconds`: a list of each file's runs; `peak_mib`: the
     most memory of this process; `share`: processor time over the clock's, while files were timed.
     Or `problem`, and `file`, the number of the one that cannot be run.
Run: by timing.py
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

# Untimed runs of each file. The first ones allocate memory and load weights.
WARM_UP = 5
DTYPES = (np.uint8, np.int8, np.float32)


class UnusableError(ValueError):
    """A file that cannot be run; `number` counts from 0."""

    def __init__(self, number: int, problem: str) -> None:
        super().__init__(problem)
        self.number = number


def measure(paths: Sequence[str], threads: int, rounds: int) -> tuple[list[list[float]], float]:
    """Returns the milliseconds of each file's runs, and processor time over the clock's.

    In a round each file runs once, in an order drawn by a fixed seed. Load from outside then hits
    all files alike. A run sets the frame, computes, and reads the answer.

    Raises:
        UnusableError: A file cannot be run.
    """
    runs = []
    for number, path in enumerate(paths):
        try:
            run = load(path, threads)
            run()
        # What LiteRT raises for what is no network, or one that it cannot run.
        except (MemoryError, OSError, ValueError, RuntimeError) as error:
            raise UnusableError(number, " ".join(str(error).split())) from error
        runs.append(run)
    for run in runs:
        for _ in range(WARM_UP):
            run()
    orders = np.random.default_rng(0)
    milliseconds: list[list[float]] = [[] for _ in runs]
    worked, started = time.process_time(), time.perf_counter()
    for _ in range(rounds):
        for number in orders.permutation(len(runs)):
            began = time.perf_counter()
            runs[number]()
            milliseconds[number].append((time.perf_counter() - began) * 1000)
    return milliseconds, (time.process_time() - worked) / (time.perf_counter() - started)


def load(path: str, threads: int) -> Callable[[], Any]:
    """Returns a function that runs a file on one random frame.

    Raises:
        OSError, RuntimeError: LiteRT cannot load it.
        ValueError: It is no network, or does not take one frame.
    """
    from ai_edge_litert.interpreter import Interpreter

    network = Interpreter(path, num_threads=threads)
    network.allocate_tensors()
    given, answered = network.get_input_details(), network.get_output_details()
    frame = frame_for(given)

    def run() -> Any:
        network.set_tensor(given[0]["index"], frame)
        network.invoke()
        return [network.get_tensor(each["index"]) for each in answered]

    return run


def frame_for(given: Sequence[dict[str, Any]]) -> np.ndarray:
    """Returns a random frame as a network takes it: whole numbers, or floats in [0, 1).

    Args:
        given: LiteRT's details of the network's inputs.

    Raises:
        ValueError: It takes something other than one frame.
    """
    shapes = [tuple(int(length) for length in each["shape"]) for each in given]
    kinds = [each["dtype"] for each in given]
    if len(given) != 1 or len(shapes[0]) != 4 or shapes[0][0] != 1 or kinds[0] not in DTYPES:
        takes = ", ".join(f"{s} {np.dtype(k).name}" for s, k in zip(shapes, kinds, strict=True))
        raise ValueError(
            f"it takes {takes or 'nothing'}; a file that takes one frame can be timed: "
            f"(1, height, width, channels), {', '.join(np.dtype(kind).name for kind in DTYPES)}"
        )
    random = np.random.default_rng(0)
    if kinds[0] is np.float32:
        return random.random(shapes[0], np.float32)
    limits = np.iinfo(kinds[0])
    return random.integers(limits.min, limits.max, shapes[0], kinds[0], endpoint=True)


def peak_mib() -> float | None:
    """Returns the most memory that this process has used, MiB; None if the system has no count.

    On Linux, `ru_maxrss` of a new process starts at the size of the process that started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2**20 if sys.platform == "darwin" else most / 1024


def main() -> None:
    threads, rounds, *paths = sys.argv[1:]
    try:
        milliseconds, share = measure(paths, int(threads), int(rounds))
        found: dict[str, Any] = {"milliseconds": milliseconds, "share": share}
        found["peak_mib"] = peak_mib()
    except UnusableError as error:
        found = {"file": error.number, "problem": str(error)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
