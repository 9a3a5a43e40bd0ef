"""What pages show: commands with what they print, as patterns."""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from markdown_it import MarkdownIt

from tests.support.project import ROOT

NUMBER = r"(?<![\w.])[−+-]?\d+(?:[.,:]\d+)*(?:e-\d+)?"
# What may differ from what is shown → what it may be: left-out lines or words, blanks, numbers.
VOLATILE = {
    r"\n[ \t]*…[ \t]*\n": r"\n(?:.*\n)*",
    "…": ".*",
    r"[ \t]*\n": r"[ \t]*\n",
    r"[ \t]+": r"[ \t]+",
    NUMBER: NUMBER,
    "-{3,}": "-+",
}
# After a prompt; it goes on behind a pipe. Then what it prints.
COMMAND = r"^(\$|>>>) ((?:.+\|\n)*.+)\n((?:(?!\$|>>>).*\n)*)"


class Shown(NamedTuple):
    """A command as a page shows it behind a prompt, and a pattern for what it prints."""

    prompt: str
    command: str
    printed: re.Pattern[str]


def blocks(page: str) -> list[str]:
    """Returns the blocks of code of a page, by its path in the project."""
    tokens = MarkdownIt().parse((ROOT / page).read_text(encoding="utf-8"))
    return [token.content for token in tokens if token.type in ("code_block", "fence")]


def shown(page: str, names: Mapping[str, str]) -> Iterator[Shown]:
    """Yields the commands that a page shows with what they print.

    Args:
        page: Its path in the project.
        names: Patterns of what may be another, such as classes → what it may be.
    """
    for block in blocks(page):
        for prompt, command, printed in re.findall(COMMAND, block, re.MULTILINE):
            yield Shown(prompt, command, pattern(printed.strip(), {**VOLATILE, **names}))


def pattern(text: str, volatile: Mapping[str, str]) -> re.Pattern[str]:
    """Returns a pattern of a text, in which what is volatile may be something else."""
    split, others = re.compile("|".join(f"({each})" for each in volatile)), [*volatile.values()]
    found, end = "", 0
    for match in split.finditer(text):
        found += re.escape(text[end : match.start()]) + others[(match.lastindex or 1) - 1]
        end = match.end()
    return re.compile(found + re.escape(text[end:]))
