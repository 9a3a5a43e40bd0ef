"""Runs the benchmarks, all or those named, prints their rows and keeps them.

Run: python -m bench [--tiny] [--show] [--results FILE] [SUBJECT …], such as
`python -m bench decode growth`. Rows of subjects that are not measured now stay in the file as they
are.
"""

import argparse
import json
import multiprocessing
import platform
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import psutil
from tabulate import tabulate

from bench import (
    decode,
    embed,
    growth,
    measuring,
    one_clip,
    search,
)

RESULTS = Path(__file__).with_name("results.json")
# What a subject's rows begin with → the module that measures it.
SUBJECTS: dict[str, Any] = {
    "search": search,
    "decode": decode,
    "embed": embed,
    "one_clip": one_clip,
    "growth": growth,
}


MET = {True: "yes", False: "NO"}


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=", ".join(SUBJECTS))
    parser.add_argument("--tiny", action="store_true", help="small sizes: only shows that it runs")
    parser.add_argument("--show", action="store_true", help="measure nothing, print what is kept")
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON file to write to")
    given = parser.parse_args()
    if unknown := set(given.subjects) - set(SUBJECTS):
        parser.error(f"unknown {sorted(unknown)}; there are {', '.join(SUBJECTS)}")
    chosen = dict.fromkeys(SUBJECTS[name] for name in given.subjects or SUBJECTS)
    machine = f"{platform.machine()}, {psutil.cpu_count()} cores"
    for module in () if given.show else chosen:
        print(f"bench: {module.__name__.split('.')[-1]}", flush=True)
        rows = measured_alone(module, module.TINY if given.tiny else module.FULL)
        keep(given.results, [{**row, "machine": machine} for row in rows])
    print(table(json.loads(given.results.read_text(encoding="utf-8"))))


def measured_alone(module: Any, size: Any) -> list[measuring.Row]:
    """Measures a subject in a process of its own.

    What one starts is said to take no less memory than it held itself; and TensorFlow's threads and
    kernels are chosen once.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(module.measure, size).result()


def keep(path: Path, rows: list[dict[str, Any]]) -> None:
    """Puts rows into the file in place of those of the same subjects."""
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    measured = {subject(row) for row in rows}
    order = list(SUBJECTS)
    together = [row for row in before if subject(row) in set(order) - measured] + rows
    together.sort(key=lambda row: order.index(subject(row)))
    path.write_text(json.dumps(together, indent=2) + "\n", encoding="utf-8")


def subject(row: dict[str, Any]) -> str:
    """Returns what a row is about."""
    return str(row["name"]).split("/")[0]


def target(row: dict[str, Any]) -> str:
    """Returns what was asked of a row, in words."""
    return f"{'≤' if measuring.is_share(row['name']) else '≥'} {row['target']:.3g}"


def table(rows: list[dict[str, Any]]) -> str:
    """Returns rows as a table in Markdown."""
    shown = [
        {
            "name": row["name"],
            "ours": f"{row['ours']:.3g}",
            "theirs": f"{row['theirs']:.3g}",
            "unit, and what theirs is": row["other"],
            "ratio": f"{row['ratio']:.3g}",
            "spread": f"{row['spread']:.0%}",
            "target": target(row),
            "met": MET[row["met"]],
            "runs": row["runs"],
        }
        for row in rows
    ]
    return tabulate(shown, headers="keys", tablefmt="github", disable_numparse=True)


if __name__ == "__main__":
    main()
