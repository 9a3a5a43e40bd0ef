"""Decoding by hand on several machines that share a folder: each decodes its part of the clips.

Which part a clip is in follows from its name, so that no machine has to know what the others do.
Shards lie where the stage keeps them, and what is known of them in its journal. The stage, which is
run when all parts are done, finds both, and has nothing to decode.
"""

import argparse
import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from stemtune.core import errors, params, printable
from stemtune.core.errors import InputError
from stemtune.core.paths import DATA, FRAMES, MANIFEST, UNFINISHED_EXTRACTION
from stemtune.ingest import clips, extraction, measurements
from stemtune.store import manifest


class Part(NamedTuple):
    """One of so many parts, from 1 on."""

    number: int
    of: int

    def has(self, name: str) -> bool:
        """Returns whether the clip of that name is in this part; each is in one."""
        digest = hashlib.sha256(name.encode()).digest()
        return int.from_bytes(digest[:8]) % self.of == self.number - 1


def parse(written: str) -> Part:
    """Returns the part that is written as `2/4`.

    Raises:
        InputError: It is none.
    """
    found = re.fullmatch(r"([0-9]+)/([0-9]+)", written)
    part = Part(int(found[1]), int(found[2])) if found else Part(0, 0)
    if not 1 <= part.number <= part.of:
        raise InputError(
            f"--part {written}: expected k/n, the k-th of n parts, from 1/n to n/n; such as 2/4"
        )
    return part


def run(arguments: Sequence[str]) -> bool:
    """Runs the stage for a part of the clips, where a part is asked for.

    Args:
        arguments: Of the command line: none, or `--part k/n`.

    Returns:
        Whether one was.
    """
    parser = argparse.ArgumentParser(
        prog="python -m stages.extract_frames",
        description="Samples frames of every clip, or of a part, of which it writes nothing else.",
    )
    parser.add_argument("--part", metavar="k/n", help="decode the k-th of n parts, such as 2/4")
    written = parser.parse_args(arguments).part
    if written is None:
        return False
    errors.run("extract_frames", lambda: _decode(parse(written)))
    return True


def _decode(part: Part) -> None:
    settings = params.load()
    extract, workers = settings.extract_frames, settings.runtime.threads
    found = clips.find(DATA, extract, workers, part.has)
    before = manifest.read(MANIFEST) if MANIFEST.exists() else None
    known = measurements.of_manifest(before)
    missing, failures = extraction.extract_some(
        found, FRAMES, known, extract, workers, UNFINISHED_EXTRACTION
    )
    print(
        f"extract_frames: part {part.number} of {part.of}: {len(found)} clips; "
        f"{len(missing) - len(failures)} of {len(missing)} without frames were decoded"
    )
    for failure in failures.values():
        print(printable.message(f"  left to the stage, as a clip {failure.reason}"))
