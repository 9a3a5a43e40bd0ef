"""Text for people: it steers no terminal, and holds no password.

Names of clips and classes are names of files and can hold anything, such as the escape character
that clears a screen. What libraries say of an error can hold an address with its password.
"""

import io
import sys
import unicodedata

from stemtune.core.redaction import redacted

# Unicode's categories: control characters, formats (those that turn the direction of writing among
# them), halves of pairs (bytes that are not UTF-8), and the two that end a line or paragraph.
STEERING = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# Formats that some scripts and emoji are written with.
JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"


def name(text: str) -> str:
    """Returns a name as it is, or quoted with escapes if it holds a character that steers."""
    return repr(text) if any(map(_steers, text)) else text


def message(text: str) -> str:
    """Returns text of one or more lines, its passwords hidden; what steers becomes an escape."""
    return "".join(
        ascii(char)[1:-1] if _steers(char) and char not in "\n\t" else char
        for char in redacted(text)
    )


def tolerate_locale() -> None:
    """Has standard output write escapes for what the locale's encoding lacks, and never fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _steers(char: str) -> bool:
    return unicodedata.category(char) in STEERING and char not in JOINERS
