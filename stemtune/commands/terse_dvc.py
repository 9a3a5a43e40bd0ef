"""DVC, saying less: not the command of each stage, nor that dvc.lock was updated.

All else that it says, errors among them, is said. What it drops it would say four times a stage.

Run: python -m stemtune.commands.terse_dvc repro (by `make repro`)
"""

import logging
import sys

from dvc import cli

# By module, as DVC's code has them; one that another version words differently is said.
DROPPED = {
    "dvc.stage.run": ("%s %s",),
    "dvc.dvcfile": ("Updating lock file '%s'", "Generating lock file '%s'"),
    "dvc.repo.reproduce": ("",),
}


def is_wanted(record: logging.LogRecord) -> bool:
    """Returns whether a message of DVC's is passed on."""
    return record.levelno != logging.INFO or record.msg not in DROPPED.get(record.name, ())


def main() -> int:
    """Runs DVC with this process's arguments; returns its exit status."""
    for handler in logging.getLogger("dvc").handlers:
        handler.addFilter(is_wanted)
    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
