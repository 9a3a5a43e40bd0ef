"""Reading files, writing them whole or not at all, and naming content by its checksum."""

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemtune.core import litter, text
from stemtune.core.errors import InputError, Missing

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


# No room left: on the disk, in a quota, or in what `ulimit -f` allows.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def needing_room(path: Path) -> Iterator[None]:
    """Says in words that there was no room to write a file.

    Raises:
        InputError: There was none.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise InputError(
            f"there is no room for {path} ({error.strerror}); make room there and run "
            "again: what is done is kept"
        ) from error


@contextmanager
def replacing(path: Path, durable: bool = False) -> Iterator[Path]:
    """Yields a path beside `path` to write to; renames it to `path` when the block succeeds.

    Creates the parent folder. On an error nothing is left behind and `path` is as it was.

    Args:
        path: To be written.
        durable: Whether the content has to be on the disk before it gets its name, so a power cut
            leaves the old content or the new.

    Raises:
        InputError: There is no room for it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: some writers choose the format by it.
    # Drawn, as machines that share a folder number their processes alike.
    beside = path.with_name(f".{secrets.token_hex(8)}.{path.name}")
    try:
        with needing_room(path):
            yield beside
            if durable:
                _sync(beside)
            beside.replace(path)
            if durable:
                _sync(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Has the system write a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Deletes a file or a link, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def write_json(path: Path, content: Any, durable: bool = False) -> None:
    """Writes JSON with sorted keys, so equal content gives equal bytes; see `replacing`."""
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n", durable)


def write_text(path: Path, text: str, durable: bool = False) -> None:
    """Writes UTF-8 text with the line ends given; see `replacing`."""
    with replacing(path, durable) as beside:
        beside.write_text(text, encoding="utf-8", newline="")


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """Writes a table as CSV, without its index."""
    with replacing(path) as beside:
        table.to_csv(beside, index=False, lineterminator="\n")


def read_json(path: Path) -> Any:
    """Reads JSON.

    Raises:
        Missing: The file is missing.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Missing(path) from None


def read_yaml(path: Path) -> Any:
    """Reads YAML as `parse_yaml` does.

    Raises:
        FileNotFoundError: The file is missing.
        TextError: It is no text.
        InputError: It is not YAML.
    """
    return parse_yaml(text.read(path), str(path))


def parse_yaml(content: str, name: str) -> Any:
    """Returns the content of YAML, read as DVC reads it, by version 1.2.

    What DVC writes as 1e-05 is a number; `no` and 1:30 are text.

    Args:
        content: What the file holds.
        name: Of the file, to be named where it is wrong.

    Raises:
        InputError: It is not YAML, or has a key twice.
    """
    # Here, or a served model that imports this module would need it.
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return YAML(typ="safe", pure=True).load(content)
    except YAMLError as error:
        place, problem = name, str(error).replace("\n", "; ")
        if isinstance(error, MarkedYAMLError) and error.problem_mark:
            mark = error.problem_mark
            place = f"{name}, line {mark.line + 1}, column {mark.column + 1}"
            # Of a key that is there twice it would show the values as it has parsed them.
            found = (error.problem or "").split(" with value ")[0]
            problem = ": ".join(part for part in (error.context, found) if part)
        raise InputError(f"{place}: this is not valid YAML: {problem}") from None


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file's content in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def md5(path: Path) -> str:
    """Returns the MD5 of a file's content in hexadecimal, as DVC names it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def checksums(folder: Path) -> dict[str, str]:
    """Returns the MD5 of each file below a folder, by relative path; nothing if it is missing."""
    return {
        path.relative_to(folder).as_posix(): md5(path)
        for path in litter.visible(folder, "**/*")
        if path.is_file()
    }


def digest(*arrays: "np.ndarray") -> str:
    """Returns a checksum of arrays' values: equal bits, equal checksum."""
    values = hashlib.sha256()
    for array in arrays:
        # As bytes or text it would be in memory a second time.
        values.update(array.data)
    return values.hexdigest()[:20]


def key(*parts: object) -> str:
    """Returns a short name for a combination of values: equal values, equal name."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:20]
