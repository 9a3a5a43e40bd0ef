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
# A key with its value: in an address's query, in a connection string, in a header.
VALUE = re.compile(
    r"((?:token|secret|passw(?:or)?d|pwd|signature|credential|access_?key(?:_?id)?|api_?key)"
    r"[\w.-]{0,40}|\bsig)(=|%3D|[\"']\s*:\s*)(?:\"[^\"]*\"|'[^']*'|[^&\s\"'<>;,]+)",
    flags=re.IGNORECASE,
)
HEADER = re.compile(
    r"(authorization[\"']?\s*[:=]\s*[\"']?)(?:(\w+) )?[^\s\"',]+", flags=re.IGNORECASE
)


def redacted(text: str) -> str:
    """Returns text without passwords: of accounts in addresses, of keys in queries and headers.

    The account's name goes too, since a token may stand there alone.
    """
    text = ACCOUNT.sub(f"{HIDDEN}@", text)
    text = VALUE.sub(rf"\1\2{HIDDEN}", text)
    return HEADER.sub(rf"\1{HIDDEN}", text)
