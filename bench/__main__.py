"""Runs the benchmarks and stores their rows in bench/results.json.

A row is `name`, `ours` and `theirs` (medians), `other` (what theirs is), `ratio` (ours over
theirs), `spread` (largest less smallest of ours, over the median), `target`, `met`, `runs` and
`machine`.
"""

import json
import platform
from pathlib import Path
from typing import Any

import psutil
from tabulate import tabulate

from bench import noop, stem_step

RESULTS = Path(__file__).with_name("results.json")


def main() -> None:
    """Measures everything and prints a table."""
    machine = f"{platform.machine()}, {psutil.cpu_count()} cores"
    rows: list[dict[str, Any]] = [
        {**row, "machine": machine} for row in (*noop.measure(), *stem_step.measure())
    ]
    RESULTS.write_text(json.dumps(rows, indent=2) + "\n")
    print(tabulate(rows, headers="keys", floatfmt=".2f"))


if __name__ == "__main__":
    main()
