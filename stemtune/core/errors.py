"""What goes wrong for a reason that the user can mend, and how a stage says so."""

import sys
from collections.abc import Callable


class InputError(ValueError):
    """Settings or data are not as they have to be; the message says what to do."""


def run(stage: str, main: Callable[[], None]) -> None:
    """Runs a stage; an InputError ends it with the message alone.

    Where in the code it was noticed is of no use to someone whose file is wrong.
    """
    try:
        main()
    except InputError as error:
        sys.exit(f"{stage}: {error}")


def first_line(error: Exception) -> str:
    """Returns what an error says, on one line."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
