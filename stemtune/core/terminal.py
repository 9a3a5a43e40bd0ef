"""The terminal: what a stage prints, within 100 columns, and one line that shows how far it is.

A process has one terminal, hence one line: `showing` opens it, `steps` says what is counted, and
`move` counts. Elsewhere, as in a file or in CI, there is no such line.
"""

import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from stemtune.core import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

WIDTH = 100
# Where a stage's seconds end, if what stands before them leaves room.
SECONDS_END = 76


def told(lines: Sequence[str], notes: Sequence[str], seconds: float) -> str:
    """Returns what a stage prints in the end: results, hints, and its seconds at the right.

    Args:
        lines: Its results.
        notes: What people should know.
        seconds: How long it took.
    """
    result = [wrapped(line, "  ") for line in lines] + [hint(note, "  ") for note in notes]
    result = "\n".join(result).splitlines() or [""]
    took = f"{seconds:.0f} s"
    end = max(SECONDS_END, len(result[-1]) + 2 + len(took))
    if end > WIDTH:
        end = SECONDS_END
        result.append("")
    result[-1] += took.rjust(end - len(result[-1]))
    return "\n".join(result)


def wrapped(text: str, indent: str = "", more: str = "    ") -> str:
    """Returns a line in as many lines as it needs, all after the first indented further."""
    return textwrap.fill(
        printable.message(text),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + more,
        replace_whitespace=False,
        drop_whitespace=True,
        break_on_hyphens=False,
        # An address that is cut opens nothing.
        break_long_words=False,
    )


def hint(text: str, indent: str = "") -> str:
    """Returns what people should know, wrapped."""
    return wrapped(f"hint: {text}", indent, "      ")


class _Line:
    """The line of a terminal, drawn by rich."""

    def __init__(self, title: str, progress: "Progress") -> None:
        self.title, self._said, self._progress = title, title, progress
        self._total: float | None = None
        self._unit, self._done, self._started = "", 0.0, 0.0
        self._task: TaskID = progress.add_task(title, total=None, count="")

    def begin(self, title: str, total: float | None, unit: str) -> None:
        self._said, self._total, self._unit, self._done = title, total, unit, 0.0
        self._started = time.monotonic()
        self._progress.reset(self._task, description=title, total=total, count=self._count())

    def move(self, amount: float, title: str) -> None:
        self._done += amount
        self._said = title or self._said
        # Floats that were added up stop a hair before the end.
        done = round(self._done, 6)
        self._progress.update(
            self._task, completed=done, count=self._count(), description=self._said
        )

    def _count(self) -> str:
        if not self._unit:
            return ""
        if self._total is None:
            return f"{self._done:.0f} {self._unit}"
        count = f"{self._done:.0f}/{self._total:.0f} {self._unit}"
        if not 0 < self._done < self._total:
            return count
        left = (time.monotonic() - self._started) * (self._total - self._done) / self._done
        minutes, seconds = divmod(round(left), 60)
        return f"{count}, {minutes}:{seconds:02d} min left"


# That of the stage or command that runs; a thread of its own has none.
_line: ContextVar[_Line | None] = ContextVar("_line", default=None)


@contextmanager
def showing(title: str) -> Iterator[None]:
    """Shows a line while a block runs, if standard output is a terminal that can be drawn on.

    What is printed meanwhile goes above it, and nothing of it stays.

    Args:
        title: What runs; `steps` gives more detail.
    """
    if _line.get() or not sys.stdout.isatty():
        yield
        return
    # Only here, as it takes a tenth of a second.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    console = Console()
    if console.is_dumb_terminal:
        yield
        return
    progress = Progress(
        TextColumn(
            "  {task.description}",
            markup=False,
            table_column=Column(no_wrap=True, overflow="ellipsis"),
        ),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[count]}", markup=False, table_column=Column(no_wrap=True)),
        console=console,
        transient=True,
        refresh_per_second=4,
    )
    with progress:
        # rich hides it, and a stage that is killed could not bring it back.
        console.show_cursor(True)
        token = _line.set(_Line(title, progress))
        try:
            yield
        finally:
            _line.reset(token)


@contextmanager
def steps(title: str, total: float | None, unit: str) -> Iterator[None]:
    """Counts on the line what a block does.

    Args:
        title: What is done.
        total: How many steps it takes; None: not known.
        unit: What a step is, in the plural.
    """
    with showing(title):
        line = _line.get()
        if line:
            line.begin(title, total, unit)
        yield
        if line:
            line.begin(line.title, None, "")


def move(amount: float = 1.0, title: str = "") -> None:
    """Counts steps of `steps`, or a part of one.

    Args:
        amount: How many.
        title: What is done from now on; "": the same as before.
    """
    if line := _line.get():
        line.move(amount, title)
