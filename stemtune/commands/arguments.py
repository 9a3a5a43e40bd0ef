"""Kinds of arguments that several subcommands take."""

import argparse
import math
import shlex
import sys
from collections.abc import Callable
from pathlib import Path


def program() -> str:
    """Returns how a shell in this folder calls `stemtune`: it may be in no folder of PATH."""
    place = Path(sys.executable).with_name("stemtune")
    here = Path.cwd()
    return shlex.quote(str(place.relative_to(here) if place.is_relative_to(here) else place))


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Returns what reads a whole number in a range, for `add_argument(type=…)`.

    argparse's own `choices` would print each number of the range.
    """
    allowed = f"from {least} to {most}" if most is not None else f"from {least} on"

    def read(text: str) -> int:
        if text.isdecimal() and least <= int(text) <= (math.inf if most is None else most):
            return int(text)
        raise argparse.ArgumentTypeError(f"a whole number {allowed} is expected, not {text!r}")

    return read
