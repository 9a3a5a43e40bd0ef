"""Text that others wrote, put into Markdown that it cannot get out of."""

import re

from stemtune.core import printable


def code(text: str) -> str:
    """Returns a name or a value as code on one line, in a table's cell too."""
    line = printable.name(printable.redacted(text)) or " "
    if "|" in line:
        # It ends a table's cell even in a code span, and escapes of it are read in different ways.
        written = re.sub(r"[^\w ]|_", lambda found: f"&#{ord(found[0])};", line)
        return f"<code>{written}</code>"
    marks = "`" * (_longest_run(line) + 1)
    blank = " " if "`" in (line[0], line[-1]) else ""
    return f"{marks}{blank}{line}{blank}{marks}"


def fenced(text: str, language: str = "") -> str:
    """Returns text of several lines as a block of code."""
    content = printable.message(text)
    marks = "`" * max(3, _longest_run(content) + 1)
    return f"{marks}{language}\n{content}\n{marks}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
