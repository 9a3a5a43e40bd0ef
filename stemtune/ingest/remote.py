"""Clips that stay in a DVC remote: each is fetched when it is decoded, and not kept.

DVC knows a content by an MD5, or by an ETag of a bucket. Entries of the frame store are named by
SHA-256. A file remembers which belongs to which, so a clip with an entry is not fetched again.
"""

import functools
import hashlib
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO, Any

from stemtune.core import files
from stemtune.core.errors import InputError, first_line
from stemtune.core.paths import FETCHED, LISTED
from stemtune.ingest import retries
from stemtune.ingest.clips import Clip

# Bytes that are read at a time.
BLOCK = 2**20
# Copies of the tables among the clips, for people to look into.
TABLES = Path(".extraction")


class FetchError(Exception):
    """A file could not be fetched, which says nothing about the file."""


def contents(data: Path) -> dict[str, str]:
    """Returns what DVC knows each content by, by name below the data folder.

    Raises:
        UnreadError: DVC cannot list them.
        InputError: They are listed in a bucket that is not as data.dvc noted it, or the folder
            exists as well.
    """
    if data.exists():
        raise InputError(
            f"{data}/ and {LISTED} are both there, and clips in {data}/ would be ignored: move "
            f"{data}/ away, or remove {LISTED} and name {data} in dvc.yaml again"
        )
    try:
        (output,) = _files().repo.find_outs_by_path(data.as_posix())
        sources = output.stage.deps if output.stage.is_partial_import else []
        if sources:
            # DVC keeps a listing for good, also that of a bucket that differed for a while.
            _files().repo.drop_data_index()
        found = _files().find(data.as_posix(), detail=True, dvc_only=True)
        changed = [str(source) for source in sources if source.workspace_status()]
    # Each kind of remote has errors of its own.
    except Exception as error:
        raise retries.UnreadError(
            f"DVC cannot list the clips that {data}.dvc names in {_name()} "
            f"({first_line(error.__cause__ or error)}). Look after the network, the credentials "
            f"and the remote. Clips that were added have to be pushed: `dvc push {data}.dvc`"
        ) from error
    if changed:
        raise InputError(
            f"{changed[0]} changed since {data}.dvc was written; `dvc update --no-download "
            f"{data}.dvc` takes what it holds now"
        )
    return {
        PurePosixPath(path).relative_to(data.as_posix()).as_posix(): _known_by(path, about)
        for path, about in found.items()
    }


def tables(data: Path, listed: Mapping[str, str], names: Collection[str]) -> Path:
    """Returns a folder with copies of the tables of the data folder.

    Args:
        data: The data folder.
        listed: From `contents`.
        names: Of tables; those that are not listed are left out.

    Raises:
        UnreadError: One cannot be fetched.
    """
    folder = TABLES / data.name
    for name in names:
        if name not in listed:
            (folder / name).unlink(missing_ok=True)
            continue
        try:
            with files.replacing(folder / name) as beside, beside.open("wb") as copy:
                _fetch_in_tries(data / name, listed[name], copy)
        except FetchError as error:
            raise retries.unread(str(data / name), error) from error
    return folder


def with_checksums(found: Iterable[Clip]) -> list[Clip]:
    """Returns clips with the checksums of those that were fetched before; others have none yet."""
    try:
        lines = FETCHED.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    # A line that was cut off names no content.
    known = {known_by: sha256 for sha256, _, known_by in (line.partition(" ") for line in lines)}
    return [replace(clip, sha256=known.get(clip.remote, "")) for clip in found]


def remember(found: Iterable[Clip]) -> None:
    """Remembers the checksums of these clips and no others."""
    lines = {f"{clip.sha256} {clip.remote}\n" for clip in found if clip.sha256}
    files.write_text(FETCHED, "".join(sorted(lines)))


@contextmanager
def fetched(clip: Clip) -> Iterator[tuple[IO[bytes], str]]:
    """Yields a clip's content, open, and its SHA-256.

    The file has no name: it is gone when it is closed, even if this process is killed.

    Raises:
        FetchError: It could not be fetched, several times, or is not what was listed.
        InputError: There is no room for it.
    """
    with tempfile.TemporaryFile() as copy:
        yield copy, _fetch_in_tries(clip.path, clip.remote, copy)


def note(clip: Clip) -> None:
    """Remembers a clip's checksum at once, should this run be killed."""
    with files.needing_room(FETCHED), FETCHED.open("a", encoding="utf-8") as file:
        file.write(f"{clip.sha256} {clip.remote}\n")


def _fetch_in_tries(path: Path, known_by: str, copy: IO[bytes]) -> str:
    return retries.reading(lambda: _fetch(path, known_by, copy), FetchError)


def _fetch(path: Path, known_by: str, copy: IO[bytes]) -> str:
    """Writes a file's content; returns its SHA-256."""
    copy.seek(0)
    copy.truncate()
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    try:
        with _files().open(path.as_posix(), "rb") as source:
            while block := source.read(BLOCK):
                sha256.update(block)
                md5.update(block)
                with files.needing_room(Path(tempfile.gettempdir())):
                    copy.write(block)
                    copy.flush()
            etag = getattr(source, "details", {}).get("ETag", "")
    except InputError:
        raise
    except Exception as error:
        raise FetchError(f"from {_name()}: {first_line(error)}") from error
    seen = f"md5:{md5.hexdigest()}", _etag(etag)
    if known_by not in seen:
        raise FetchError(
            f"from {_name()}: its content is {seen[0]}, not {known_by} as data.dvc has it. Was it "
            "damaged there? `dvc add data` takes changes of data/, and `dvc update data.dvc` those "
            "of a bucket"
        )
    return sha256.hexdigest()


def _known_by(path: str, about: Mapping[str, Any]) -> str:
    entry = about["dvc_info"]["entry"]
    if not entry.hash_info and not entry.meta.etag:
        raise InputError(
            f"{path} is in a place that tells no ETag, so its content could not be checked; import "
            "from there with `dvc import-url --to-remote`, or from S3"
        )
    return f"md5:{entry.hash_info.value}" if entry.hash_info else _etag(entry.meta.etag)


def _etag(etag: str) -> str:
    return "etag:" + etag.strip('"')


def _name() -> str:
    """Returns which remote is meant, for people."""
    name = _files().repo.config["core"].get("remote")
    return f"DVC's remote {name}" if name else "DVC's remote, of which there is none by default"


@functools.cache
def _files() -> Any:
    """Returns the files of the project in this folder as DVC sees them, here or in a remote."""
    # It takes a second.
    from dvc.api import DVCFileSystem

    return DVCFileSystem()
