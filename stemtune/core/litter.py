"""Files that systems, network storage and archivers leave behind; `.dvcignore` names them."""

import re
from collections.abc import Iterator
from pathlib import Path

LITTER = re.compile(
    # macOS; `._x` is what AppleDouble keeps of a file x.
    r"\.ds_store|\._.*|\.appledouble|\.localized|\.spotlight-v100|\.trashes|\.fseventsd"
    r"|\.temporaryitems|\.documentrevisions-v100|icon\r|__macosx"
    # Windows.
    r"|thumbs\.db|ehthumbs\.db|desktop\.ini|\$recycle\.bin|system volume information"
    # Synology, QNAP, NFS.
    r"|@eadir|#recycle|#snapshot|@recycle|@recently-snapshot|\.@__thumb|\.nfs.*"
    # Linux, and Python.
    r"|lost\+found|\.trash-\d+|\.directory|__pycache__|\.ipynb_checkpoints",
    flags=re.IGNORECASE,
)


def is_litter(name: str) -> bool:
    """Tells whether a file or folder of that name is litter, no one's data."""
    return LITTER.fullmatch(name) is not None


def visible(folder: Path, pattern: str = "*") -> Iterator[Path]:
    """Yields paths in a folder that match a pattern, in order, except litter and its content.

    Args:
        folder: May be missing, and has nothing then.
        pattern: As `Path.glob` takes it.
    """
    for path in sorted(folder.glob(pattern)):
        if not any(is_litter(name) for name in path.relative_to(folder).parts):
            yield path
