"""Entries of dvc.lock: DVC's hash of each path, whichever of two ways it is written in."""

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stemtune.core import files
from stemtune.core.errors import InputError


def entries(path: Path) -> dict[str, Any]:
    """Returns the entries of a dvc.lock by stage; none if it is missing, or DVC is writing it.

    It is parsed once, as long as it does not change: that takes most of a second.
    """
    try:
        return _parsed(path, path.stat().st_mtime_ns)
    except (FileNotFoundError, InputError):
        return {}


@functools.lru_cache(maxsize=8)
def _parsed(path: Path, _modified: int) -> dict[str, Any]:
    return (files.read_yaml(path) or {}).get("stages") or {}


def hashes(parts: Sequence[Mapping[str, Any]] | None) -> dict[str, str]:
    """Returns DVC's hash by path.

    Args:
        parts: The `deps` or `outs` of a stage; None: it has none.

    Raises:
        InputError: A part has no hash.
    """
    return {part["path"]: _hash(part) for part in parts or ()}


def _hash(part: Mapping[str, Any]) -> str:
    """Returns a part's MD5, with `.dir` behind that of a folder.

    With a remote that is version_aware, DVC lists the files of a folder in place of its hash. The
    hash is that of the same list.
    """
    if "md5" in part:
        return str(part["md5"])
    if "files" not in part:
        raise InputError(
            f"dvc.lock has no MD5 of {part['path']}, but {', '.join(part)}; `dvc repro` writes it"
        )
    listed = [{"md5": file["md5"], "relpath": file["relpath"]} for file in part["files"]]
    text = json.dumps(sorted(listed, key=lambda file: file["relpath"]), sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir"
