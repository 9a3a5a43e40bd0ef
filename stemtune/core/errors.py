"""Errors that the user can fix, and how a program ends with them."""

import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from stemtune.core import printable

# The exit status of a program that Ctrl-C ended, as of shells.
INTERRUPTED = 130


class InputError(ValueError):
    """Settings or data are wrong; the message says what to do."""


class Missing(InputError, FileNotFoundError):
    """A file or a folder that the pipeline makes is not there."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is missing; `dvc repro` makes it")
        self._path = path

    def __reduce__(self) -> tuple[type, tuple[Path]]:
        """Has a copy from another process say the same."""
        return Missing, (self._path,)


def run(name: str, main: Callable[[], None]) -> None:
    """Runs a program, such as a stage; an InputError ends it with the message alone.

    A traceback is of no use to someone whose file is wrong. Any other error is a bug and ends the
    program with its traceback. Ctrl-C ends it with a line.
    """
    printable.tolerate_locale()
    try:
        main()
    except (Exception, KeyboardInterrupt) as error:
        print(told(name, error), file=sys.stderr, flush=True)
        sys.exit(INTERRUPTED if is_interrupt(error) else 1)


def is_interrupt(error: BaseException) -> bool:
    """Returns whether an error came of Ctrl-C; a library that was loading may wrap it."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    return any(isinstance(each, KeyboardInterrupt) for each in causes)


def told(name: str, error: BaseException) -> str:
    """Returns what a program says of an error that ends it, without passwords."""
    if is_interrupt(error):
        return f"{name}: interrupted"
    if isinstance(error, InputError):
        return printable.message(f"{name}: {error}")
    return printable.message("".join(traceback.format_exception(error)).rstrip())


def first_line(error: BaseException) -> str:
    """Returns what an error says, on one line."""
    return printable.message(f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
