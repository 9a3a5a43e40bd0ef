"""Checksums of clips, remembered with size, time of change and inode: only what changed is read.

That is what DVC goes by as well. Where nothing is remembered, all is read.
"""

import errno
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from stemtune.core import files, terminal
from stemtune.ingest import retries
from stemtune.ingest.clips import Clip

# A file that changed so shortly before it was read may change again and look the same, seconds.
UNSURE_SECONDS = 2

# How often what is known is written while clips are read, seconds.
NOTED_SECONDS = 30

# Size, time of the last change in ns, and inode.
State = list[int]


def state(path: Path) -> State:
    """Returns what changes when a file does."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ino]


def add(found: Sequence[Clip], workers: int, memory: Path) -> list[Clip]:
    """Returns clips with the checksums of their contents; those with a problem as they are.

    Args:
        found: From `clips.find`.
        workers: Number of files that are read at a time.
        memory: File of what is remembered; kept up to date, also where this is cut off by an error.

    Raises:
        UnreadError: A clip could not be read, several times.
    """
    known = _read(memory)
    now: dict[str, tuple[State, str]] = {}

    def checked(clip: Clip) -> Clip:
        if clip.problem:
            return clip
        try:
            seen, checksum = retries.reading(lambda: _checksum(clip, known.get(clip.name)))
        except OSError as error:
            raise retries.unread(f"the clip {clip.path}", error.strerror) from error
        if time.time_ns() - seen[1] > UNSURE_SECONDS * 10**9:
            now[clip.name] = seen, checksum
        return replace(clip, sha256=checksum, state=tuple(seen))

    with ThreadPoolExecutor(workers) as threads:
        try:
            hashed = threads.map(checked, found)
            made, noted = [], time.monotonic()
            with terminal.steps("reading", len(found), "clips"):
                for clip in hashed:
                    made.append(clip)
                    terminal.move()
                    if time.monotonic() > noted + NOTED_SECONDS:
                        # A kill leaves no time to write.
                        files.write_json(memory, known | now)
                        noted = time.monotonic()
        except BaseException:
            threads.shutdown(cancel_futures=True)
            files.write_json(memory, known | now)
            raise
    if now != known:
        files.write_json(memory, now)
    return made


def _checksum(clip: Clip, known: tuple[State, str] | None) -> tuple[State, str]:
    seen = state(clip.path)
    if known and known[0] == seen:
        return seen, known[1]
    checksum = files.sha256(clip.path)
    if state(clip.path) != seen:
        raise OSError(errno.EBUSY, "changed while it was read")
    return seen, checksum


def _read(memory: Path) -> dict[str, tuple[State, str]]:
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
        return {name: (seen, checksum) for name, (seen, checksum) in known.items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError):
        # None, or one that was damaged: all is read.
        return {}
