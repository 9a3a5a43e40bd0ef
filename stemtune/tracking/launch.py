"""Runs the pipeline, or one stage with those before it, for an entry point of MLproject.

`mlflow run` passes parameters as `--tune_lr.epochs 3`; they reach params.yaml through
`dvc exp run`, which knows how to set them and keeps the experiment. Without any, it is `dvc repro`.

Run:    python -m stemtune.tracking.launch [STAGE] [--SETTING VALUE]...
"""

import os
import subprocess
import sys
from collections.abc import Sequence

from stemtune.core import errors
from stemtune.core.errors import InputError
from stemtune.core.paths import DATA, LISTED


def main() -> None:
    """Pulls missing data, except clips that stay in a remote, then runs DVC."""
    command = command_of(sys.argv[1:])
    if not DATA.exists() and not LISTED.exists():
        _run(["pull", "data.dvc"])
    _run(command)


def command_of(arguments: Sequence[str]) -> list[str]:
    """Returns DVC's arguments for those of an entry point.

    Raises:
        InputError: They are not a stage, if any, and pairs of `--setting value`.
    """
    first = 1 if arguments and not arguments[0].startswith("--") else 0
    stage, rest = list(arguments[:first]), arguments[first:]
    names, values = rest[::2], rest[1::2]
    if len(names) != len(values) or not all(name.startswith("--") for name in names):
        raise InputError(
            f"expected pairs such as --tune_lr.epochs 3, which `mlflow run . -P tune_lr.epochs=3` "
            f"gives; got {' '.join(rest)}"
        )
    if not names:
        return ["repro", *stage]
    settings = [
        f"{name.removeprefix('--')}={value}" for name, value in zip(names, values, strict=True)
    ]
    return ["exp", "run", *(part for setting in settings for part in ("-S", setting)), *stage]


def _run(arguments: Sequence[str]) -> None:
    command = [sys.executable, "-m", "dvc", *arguments]
    # DVC and the stages read names of files as UTF-8, whatever the locale.
    environment = os.environ | {"PYTHONUTF8": "1"}
    status = subprocess.run(command, env=environment, check=False).returncode  # noqa: S603
    if status:
        sys.exit(status)


if __name__ == "__main__":
    errors.run("launch", main)
