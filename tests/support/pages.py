"""What pages show: commands with what they print, as patterns, and programs."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from markdown_it import MarkdownIt

from tests.support.project import ROOT

NUMBER = r"(?<![a-zA-Z])[−+-]?\d+(?:[.,:]\d+)*(?:e-\d+)?"
# What may differ from what is shown → what it may be.
VOLATILE = {r"\s*…\s*": ".*", NUMBER: NUMBER, "-{3,}": "-+", r"\s+": r"\s+"}


class Shown(NamedTuple):
    """A command as a page shows it, and a pattern for what it prints."""

    command: str
    printed: re.Pattern[str]


def blocks(page: str) -> list[str]:
    """Returns the blocks of code of a page, by its path in the project."""
    tokens = MarkdownIt().parse((ROOT / page).read_text(encoding="utf-8"))
    return [token.content for token in tokens if token.type in ("code_block", "fence")]


def shown(page: str, names: str) -> Iterator[Shown]:
    """Yields the commands that a page shows with what they print.

    Args:
        page: Its path in the project.
        names: A pattern of words that may be others, such as classes.
    """
    # A command goes on behind a pipe.
    begins = r"^(?:\$|>>>) ((?:.+\|\n)*.+)\n((?:(?!\$|>>>).*\n)*)"
    for block in blocks(page):
        for command, printed in re.findall(begins, block, re.MULTILINE):
            yield Shown(command, pattern(printed.strip(), VOLATILE | {names: ".+?"}))


def pattern(text: str, volatile: dict[str, str]) -> re.Pattern[str]:
    """Returns a pattern of a text, in which what is volatile may be something else."""
    parts = [
        next((other for of, other in volatile.items() if re.fullmatch(of, part)), re.escape(part))
        for part in re.split(f"({'|'.join(volatile)})", text)
    ]
    return re.compile("".join(parts), re.DOTALL)
