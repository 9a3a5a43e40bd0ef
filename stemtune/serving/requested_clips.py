"""Which clips a request may have opened: bytes that it brings, and paths below one folder."""

import base64
import binascii
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from stemtune.core.errors import InputError
from stemtune.core.settings.frames import Limits

FOLDER, SIZE = "STEMTUNE_CLIPS", "STEMTUNE_CLIP_MIB"
# Those of params.yaml, but for the seconds: MLflow's server answers for itself after 60.
LIMITS = Limits(decode_seconds=50, pixels=8192 * 8192, frames=200_000, memory_mib=4096)
CLIP_MIB = 64
SHOWN = 200
DATA = "data:"
BYTES = "data:;base64, and its bytes in base64"


@dataclass(frozen=True)
class ServerSettings:
    """What whoever starts a server allows its clients.

    Attributes:
        folder: Clips below it may be named by path; None: no path is opened.
        clip_mib: Size of a clip's file, MiB.
        limits: Of one clip, but for `decode_seconds`, which all clips of a request share.
    """

    folder: Path | None
    clip_mib: int
    limits: Limits


def settings_from(environment: Mapping[str, str]) -> ServerSettings:
    """Returns the settings that environment variables give; empty ones count as none.

    `STEMTUNE_CLIPS` names the folder, `STEMTUNE_CLIP_MIB` is the size of a clip, and
    `STEMTUNE_DECODE_SECONDS` and the like are the limits.

    Raises:
        InputError: The folder does not exist, or a number is none or is not allowed.
    """
    folder = None
    if named := environment.get(FOLDER, ""):
        folder = Path(named).resolve()
        if not folder.is_dir():
            raise InputError(
                f"{FOLDER} is {named}, and there is no such folder; name the folder whose clips "
                "clients may ask for, or unset it, so that no path is opened"
            )
    given = {
        name: value
        for name in Limits.model_fields
        if (value := environment.get(f"STEMTUNE_{name.upper()}", ""))
    }
    try:
        limits = Limits.model_validate_strings({**_as_strings(LIMITS), **given})
    except ValidationError as error:
        (wrong, *_) = error.errors()
        variable = f"STEMTUNE_{str(wrong['loc'][0]).upper()}"
        raise InputError(f"{variable} is {wrong['input']!r}: {wrong['msg']}") from None
    size = environment.get(SIZE, "") or str(CLIP_MIB)
    if not size.isdecimal() or int(size) == 0:
        raise InputError(f"{SIZE} is {size!r}: it should be a whole number from 1 on")
    return ServerSettings(folder, int(size), limits)


def allowed(settings: ServerSettings) -> str:
    """Returns in words what a request may hold for a clip."""
    if settings.folder:
        return f"A clip is a path below the folder of this server's clips, or {BYTES}"
    return f"A clip is {BYTES}; this server opens no paths, as {FOLDER} names no folder"


@contextmanager
def opened(asked: str, settings: ServerSettings) -> Iterator[Path]:
    """Yields the file of a clip that a request asks for.

    A text that begins with `data:` holds bytes (RFC 2397). Any other is a path below the folder,
    or bytes in base64 where there is no folder. Bytes lie in a private file until the block ends.

    Raises:
        InputError: It is neither, or larger than allowed. What is outside the folder and what does
            not exist get the same answer.
    """
    if settings.folder and not asked.startswith(DATA):
        path = _below(settings.folder, asked)
        _require_small(path.stat().st_size, settings)
        yield path
        return
    content = _decoded(asked, settings)
    with tempfile.NamedTemporaryFile(prefix="stemtune-") as file:
        file.write(content)
        file.flush()
        yield Path(file.name)


def _below(folder: Path, asked: str) -> Path:
    try:
        path = (folder / asked).resolve(strict=True)
        if path.is_relative_to(folder) and path.is_file():
            return path
    except (OSError, RuntimeError, ValueError):
        # Nothing there, a name too long or with a byte 0, a loop of links.
        pass
    raise InputError(f"there is no clip {_shown(asked)} below the folder of this server's clips")


def _decoded(asked: str, settings: ServerSettings) -> bytes:
    text = asked
    if asked.startswith(DATA):
        head, _, text = asked.partition(",")
        if not head.lower().endswith(";base64"):
            raise InputError(f"{_shown(asked)} holds no bytes in base64")
    _require_small(len(text) * 3 // 4, settings)
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{_shown(asked)} is not the bytes of a clip in base64: {error}") from None
    if not content:
        raise InputError("a clip of no bytes was sent")
    return content


def _require_small(size: float, settings: ServerSettings) -> None:
    if size > settings.clip_mib * 2**20:
        raise InputError(
            f"a clip of {size / 2**20:.1f} MiB was asked for; {SIZE} allows {settings.clip_mib} MiB"
        )


def _shown(asked: str) -> str:
    return repr(asked if len(asked) <= SHOWN else f"{asked[:SHOWN]}…")


def _as_strings(limits: Limits) -> dict[str, str]:
    return {name: str(value) for name, value in limits.model_dump().items()}
