"""Entries of dvc.lock: DVC's hash of each path, whichever of two ways it is written in."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from stemtune.core.errors import InputError


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
