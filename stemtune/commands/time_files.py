"""`stemtune time`: milliseconds, memory and bytes of exported files on this machine."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemtune.core import printable
from stemtune.serving import timing

if TYPE_CHECKING:
    from stemtune.serving.timing import Price

DESCRIPTION = "Times LiteRT files side by side on this machine, one frame at a time."
EPILOG = """\
examples:
  stemtune time exports/*.tflite
  stemtune time --threads 4 exports/*.tflite
  stemtune time --json exports/*.tflite > pi.json

It needs Python 3.11 or later with ai-edge-litert and numpy, and the folder stemtune/, no other
package. On a device, in the folder that holds stemtune/:  python -m stemtune time FILE...

In each round each file runs once, in random order. A run sets the frame, computes, and reads the
answer. ms: the median by the clock; p95: the 95th percentile. peak MiB: resident memory of a
process that runs this file alone, with Python, NumPy and LiteRT in it.

exit codes:
  0  all files are timed
  2  a file cannot be timed, a package is missing, or the arguments are wrong
"""
MOST_ROUNDS = 100_000


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Describes the subcommand."""
    parser = commands.add_parser(
        "time",
        help="time exported files on this machine",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a .tflite file")
    parser.add_argument("--json", action="store_true", help="print JSON, as metrics/latency.json")
    parser.add_argument(
        "--threads",
        type=_between(1, os.cpu_count() or 1),
        metavar="N",
        default=1,
        help="on which each file runs (default: %(default)s)",
    )
    parser.add_argument(
        "--rounds",
        type=_between(timing.FEWEST_ROUNDS, MOST_ROUNDS),
        metavar="N",
        default=timing.ROUNDS,
        help="how often each file is timed (default: %(default)s)",
    )
    parser.set_defaults(run=run, name=parser.prog)


def run(options: argparse.Namespace) -> int:
    """Prints the prices, and returns the exit code.

    Raises:
        InputError: A file cannot be timed, or a package is missing.
    """
    timed = timing.measure(options.files, options.threads, options.rounds)
    if options.json:
        # ASCII alone: no name in it steers a terminal, and each is exact.
        print(json.dumps(timed.content(), indent=2))
    else:
        print(_as_table(timed.prices, options.rounds))
    if timed.note:
        print(f"{options.name}: {timed.note}", file=sys.stderr)
    return 0


def _as_table(prices: Mapping[str, "Price"], rounds: int) -> str:
    """Returns the prices as a table, without tabulate, which a device has no other use for."""
    rows = [("file", "ms", "p95", "MB", "peak MiB")]
    for name, price in prices.items():
        peak = "unknown" if price.peak_mib is None else f"{price.peak_mib:.0f}"
        times = f"{price.ms_median:.2f}", f"{price.ms_p95:.2f}"
        rows.append((printable.name(name), *times, f"{price.bytes / 1e6:.1f}", peak))
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = [
        "  ".join([row[0].ljust(first), *map(str.rjust, row[1:], others)]).rstrip() for row in rows
    ]
    any_price = next(iter(prices.values()))
    threads = f"{any_price.threads} thread" + ("s" if any_price.threads > 1 else "")
    where = printable.message(any_price.processor)
    return "\n".join([*lines, "", f"ms for a frame: {where}, {threads}, {rounds} rounds"])


def _between(low: int, high: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not (text.isascii() and text.isdecimal()) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(
                f"a whole number from {low} to {high} is expected, not {text[:40]!r}"
            )
        return int(text)

    return number
