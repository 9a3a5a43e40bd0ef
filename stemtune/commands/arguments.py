"""Kinds of arguments that several subcommands take."""

import argparse
import math
import shlex
import sys
from collections.abc import Callable
from pathlib import Path


def program() -> str:
    """Returns the command that runs `stemtune` in a shell in this folder, whatever PATH has."""
    python, here = Path(sys.executable), Path.cwd()
    script = python.with_name("stemtune")
    found = script if script.exists() else python
    if found.is_relative_to(here) and found.parent != here:
        found = found.relative_to(here)
    return shlex.quote(str(found)) + ("" if script.exists() else " -m stemtune")


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
