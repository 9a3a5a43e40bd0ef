"""Reads the command line and runs a subcommand.

A module per subcommand has `add`, which describes its arguments, and `run`, which does it.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from stemtune.commands import classify, compare, demo, leaks, recommend, time_files
from stemtune.core import errors, printable
from stemtune.core.errors import InputError

DONE, FAILED, NOT_DONE, INTERRUPTED = 0, 1, 2, 130


class _Version(argparse.Action):
    """Looks the version up only if it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib import metadata

        print(f"{parser.prog} {metadata.version('stemtune')}")
        parser.exit(DONE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a subcommand and returns its exit code: 2 if it could not be done, 1 if it is at fault.

    Args:
        arguments: Those of the command; None: those of this process.
    """
    parser = argparse.ArgumentParser(
        prog="stemtune",
        description="Classifies clips, finds footage that splits share, and times exported files.",
        epilog="stemtune COMMAND --help has examples and exit codes.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and end")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (classify, leaks, compare, recommend, time_files, demo):
        command.add(commands)
    options = parser.parse_args(arguments)
    printable.tolerate_locale()
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # `| head` has seen enough; Python would complain when it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except InputError as error:
        print(errors.told(options.name, error), file=sys.stderr)
        return NOT_DONE
    except Exception as error:
        print(errors.told(options.name, error), file=sys.stderr)
        return FAILED
    return status
