"""DVC, saying less: no commands of stages, no updates of dvc.lock, no advice on git and `dvc push`.

All else that it says, errors among them, is said. Its advice would leave out metrics/, and push a
run's outputs among the samples.

Run: python -m stemtune.commands.terse_dvc repro (by `make repro`)
"""

import logging
import sys
from typing import Any

from dvc import cli
from dvc.ui import ui

# By module, as DVC's code has them; one that another version words differently is said.
DROPPED = {
    "dvc.stage.run": ("%s %s",),
    "dvc.dvcfile": ("Updating lock file '%s'", "Generating lock file '%s'"),
    "dvc.repo.reproduce": ("",),
    "dvc.repo.scm_context": (
        "\nTo track the changes with git, run:\n\n%s",
        "\nTo enable auto staging, run:\n\n\tdvc config core.autostage true",
    ),
}
PUSH = "Use `dvc push` to send your updates to remote storage."


def is_wanted(record: logging.LogRecord) -> bool:
    """Returns whether a message of DVC's is passed on."""
    return record.levelno != logging.INFO or record.msg not in DROPPED.get(record.name, ())


def main() -> int:
    """Runs DVC with this process's arguments; returns its exit status."""
    for handler in logging.getLogger("dvc").handlers:
        handler.addFilter(is_wanted)
    write = ui.write

    def shown(*said: Any, **options: Any) -> None:
        if said != (PUSH,):
            write(*said, **options)

    setattr(ui, "write", shown)  # noqa: B010
    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
