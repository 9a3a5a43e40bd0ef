"""Arrays in .npz files: whole or not at all, equal bytes for equal arrays, damage is noticed.

A file's name begins with that of its folder, so no folder holds a hundred thousand. `numpy.load`
reads them too. Each array has a checksum and is read without the others.
"""

import errno
import io
import os
import struct
import threading
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from stemtune.core import litter
from stemtune.core.errors import InputError
from stemtune.core.files import remove, replacing

SUFFIX, PREFIX = ".npz", 2
# NumPy reads an array's shape with `ast`, which two threads break for each other: "AST constructor
# recursion depth mismatch" (CPython issue 106905).
_PARSING = threading.Lock()
# What a damaged file has zipfile and numpy raise, besides errors of the system.
DAMAGE = (
    zipfile.BadZipFile, LookupError, ValueError, EOFError, RuntimeError, struct.error, zlib.error,
)  # fmt: skip


class DamagedError(InputError):
    """A file is damaged, or holds other arrays than expected."""


def path_of(folder: Path, key: str) -> Path:
    """Returns where the arrays of that key are."""
    return folder / key[:PREFIX] / f"{key}{SUFFIX}"


def keys(folder: Path, least: int = 1) -> set[str]:
    """Returns the keys in a folder by names and sizes alone.

    Args:
        folder: May be missing.
        least: Bytes. A file that is smaller was cut off when a machine lost its power.
    """
    return {
        entry.name.removesuffix(SUFFIX)
        for prefix in litter.visible(folder)
        if prefix.is_dir()
        for entry in os.scandir(prefix)
        if entry.name.endswith(SUFFIX) and _size(entry) >= least
    }


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:
        # A link into a cache that no longer has it.
        return -1


def remove_others(folder: Path, keep: Collection[str]) -> None:
    """Deletes all but litter and the files of the keys in `keep`."""
    kept = {path_of(folder, key) for key in keep}
    folders = {path.parent for path in kept}
    for path in litter.visible(folder):
        if path not in folders:
            remove(path)
    for path in litter.visible(folder, "*/*"):
        if path not in kept:
            remove(path)


def write(path: Path, **arrays: np.ndarray) -> None:
    """Writes arrays by name, whole or not at all."""
    with replacing(path) as beside:
        np.savez(beside, allow_pickle=False, **arrays)


class Reader:
    """The arrays of an open file."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def __len__(self) -> int:
        return len(self._archive.namelist())

    def __getitem__(self, name: str) -> np.ndarray:
        # Read as a whole, its checksum is compared before anything is taken from it.
        content = io.BytesIO(self._archive.read(f"{name}.npy"))
        with _PARSING:
            found: np.ndarray = np.load(content, allow_pickle=False)
        return found


@contextmanager
def opened(path: Path) -> Iterator[Reader]:
    """Yields what a file holds.

    Raises:
        DamagedError: It is damaged, or lacks an array that is asked for.
        OSError: It is missing, or the system fails to read it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield Reader(archive)
    except DamagedError:
        raise
    except DAMAGE as error:
        raise damaged(path, str(error)) from error
    except OSError as error:
        # A place before the file's beginning; all else is the system's, not the file's.
        if error.errno != errno.EINVAL:
            raise
        raise damaged(path, str(error)) from error


def damaged(path: Path, reason: str) -> DamagedError:
    """Returns the error that says what is wrong with a file, and what to do."""
    return DamagedError(f"{path} is not as it was written ({reason}); delete it and `dvc repro`")
