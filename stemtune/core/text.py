"""Text as people's programs write it: encodings, line ends, two forms of one accent."""

import codecs
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from stemtune.core.errors import InputError

# The longer ones first: UTF-16's mark begins UTF-32's.
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
# What Windows writes in western Europe and America, for a look at what may have been meant.
WINDOWS = "cp1252"


class TextError(InputError):
    """A file is not text in an encoding that can be told for sure."""


def read(path: Path) -> str:
    """Returns a file's text, which is UTF-8, or UTF-16 or 32 with a byte order mark.

    Raises:
        TextError: It is none of these; the message names the line and what to do.
    """
    data = path.read_bytes()
    encoding = next((encoding for mark, encoding in MARKS if data.startswith(mark)), "utf-8")
    if encoding.startswith("utf-8") and b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise TextError(
            f"{path}, line {line}: holds a byte 0, so it is no text, or UTF-16 without its "
            "mark; save it as UTF-8"
        )
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise TextError(_odd_bytes(path, data, encoding, error)) from None


def lines(text: str) -> list[str]:
    """Returns the lines of a text from any system, without their ends."""
    return re.split(r"\r\n|\r|\n", text)


def composed(name: str) -> str:
    """Returns a name as Unicode composes it (NFC); systems differ in how they keep accents."""
    return unicodedata.normalize("NFC", name)


def differing_by_spelling(names: Iterable[str]) -> list[list[str]]:
    """Returns the names that differ from others in case, blanks or ends alone, sorted, together."""
    by_spelling: dict[str, list[str]] = {}
    for name in sorted(names):
        spelling = re.sub(r"[\s_]+", " ", name.casefold()).strip().rstrip(" .")
        by_spelling.setdefault(spelling, []).append(name)
    return [alike for alike in by_spelling.values() if alike[1:]]


def _odd_bytes(path: Path, data: bytes, encoding: str, error: UnicodeDecodeError) -> str:
    if encoding != "utf-8":
        name = encoding.removesuffix("-sig").upper()
        return (
            f"{path}: begins with the mark of {name} and is not {name} (byte {error.start}: "
            f"{error.reason}); save it as UTF-8"
        )
    before = data[: error.start]
    number = before.count(b"\n") + 1
    line = data[before.rfind(b"\n") + 1 :].split(b"\n", 1)[0].rstrip(b"\r")
    meant = line.decode(WINDOWS, "replace")
    return (
        f"{path}, line {number}: is not UTF-8; its byte 0x{data[error.start]:02X} would make it "
        f"{meant!r} in Windows-1252, and something else in other encodings. Save the file as "
        f"UTF-8: in a spreadsheet as CSV UTF-8, in an editor by its encoding, or by `iconv -f "
        f"WINDOWS-1252 -t UTF-8`"
    )
