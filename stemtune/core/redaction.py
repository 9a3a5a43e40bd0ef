"""Takes passwords and keys out of text that may hold an address, such as a library's error."""

import re

HIDDEN = "***"
# What stands between an address's scheme and its host. A password may hold a slash, as SQLAlchemy
# takes it, but what begins with a port and a path is none.
ACCOUNT = re.compile(
    r"(?<=://)(?:"
    r"[^\s/?#@:\"'<>`]*:(?!\d{1,5}(?:[/?#]|$))(?:(?!://)[^\s\"'<>`])*"
    r"|[^\s/?#\"'<>`]+"
    r")@"
)
# A key with its value: in an address's query, in a connection string, in settings, in arguments.
KEYS = (
    r"(?:token|secret|passw(?:or)?d|passphrase|pwd|signature|credential|access[_-]?key(?:_?id)?"
    r"|account_?key|api[_-]?key)[\w.-]{0,40}|\bsig"
)
QUOTED = r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'"
VALUE = re.compile(
    rf"({KEYS})(\s?=\s?|%3D|[\"']?\s?:\s)(?:{QUOTED}|[^&\s\"'<>;,]+)", flags=re.IGNORECASE
)
QUERY = re.compile(r"([?&](?:key|auth|code|pass|session)=)[^&\s\"'<>]+", flags=re.IGNORECASE)
OPTION = re.compile(r"(--[\w-]{0,40}(?:password|token|secret)\s)[^\s-]\S*", flags=re.IGNORECASE)
# Some hold several secrets, hence the rest of the line or of the quoted text.
HEADER = re.compile(
    rf"((?:authorization|cookie|x-api-key)[\"']?\s*[:=]\s*b?)(?:{QUOTED}|[^\n]*)",
    flags=re.IGNORECASE,
)


def redacted(text: str) -> str:
    """Returns text without passwords: of accounts in addresses, of keys in queries and headers.

    The account's name goes too, since a token may stand there alone.
    """
    text = ACCOUNT.sub(f"{HIDDEN}@", text)
    text = HEADER.sub(rf"\1{HIDDEN}", text)
    text = VALUE.sub(rf"\1\2{HIDDEN}", text)
    text = QUERY.sub(rf"\1{HIDDEN}", text)
    return OPTION.sub(rf"\1{HIDDEN}", text)
