"""What a request may ask for: frames, and clips that it brings or names below a folder."""

import base64
import binascii
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pydantic import ValidationError

from stemtune.core.errors import InputError
from stemtune.core.settings.frames import Limits
from stemtune.media import sampling

FOLDER, SIZE, MOST = "STEMTUNE_CLIPS", "STEMTUNE_CLIP_MIB", "STEMTUNE_REQUEST_FRAMES"
# MLflow's server answers for itself after 60 seconds.
LIMITS = sampling.LIMITS.model_copy(update={"decode_seconds": 50})
CLIP_MIB, REQUEST_FRAMES = 64, 4096
SHOWN = 200
# Characters of a path, as Linux has it, and of what stands before the bytes of a clip.
LONGEST_PATH = LONGEST_HEAD = 4096
DATA = "data:"
BYTES = "data:;base64, and its bytes in base64"


@dataclass(frozen=True)
class ServerSettings:
    """What a server allows its clients; set by the person who starts it.

    Attributes:
        folder: Clips below it may be named by path; None: no path is opened.
        clip_mib: Size of a clip's file, MiB.
        request_frames: Frames in a request that brings no clips.
        limits: Of one clip, except `decode_seconds`, which holds for a request as a whole.
    """

    folder: Path | None
    clip_mib: int
    request_frames: int
    limits: Limits


def settings_from(environment: Mapping[str, str]) -> ServerSettings:
    """Returns the settings that environment variables give; empty ones count as none.

    `STEMTUNE_CLIPS` names the folder, `STEMTUNE_CLIP_MIB` is the size of a clip,
    `STEMTUNE_REQUEST_FRAMES` the number of frames, and `STEMTUNE_DECODE_SECONDS` and the like are
    the limits.

    Raises:
        InputError: The folder does not exist, or a number is none or is not allowed.
    """
    folder = None
    if named := environment.get(FOLDER, ""):
        folder = Path(named).resolve()
        if not folder.is_dir():
            raise InputError(
                f"{FOLDER} is {named}, and there is no such folder; name the folder whose clips "
                "clients may ask for, or unset it, and no path is opened"
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
    size = _count(environment, SIZE, CLIP_MIB)
    return ServerSettings(folder, size, _count(environment, MOST, REQUEST_FRAMES), limits)


def _count(environment: Mapping[str, str], variable: str, default: int) -> int:
    value = environment.get(variable, "") or str(default)
    if not value.isdecimal() or int(value) == 0:
        raise InputError(f"{variable} is {value!r}: it should be a whole number from 1 on")
    return int(value)


def require_few_frames(frames: np.ndarray, settings: ServerSettings) -> None:
    """Raises InputError if frames (n, h, w, 3) are more, or larger, than allowed."""
    count, height, width, _ = frames.shape
    if count > settings.request_frames:
        raise InputError(
            f"got {count} frames; {MOST} allows {settings.request_frames} in a request"
        )
    if height * width > settings.limits.pixels:
        raise InputError(
            f"got frames of {width} x {height} pixels; STEMTUNE_PIXELS allows "
            f"{settings.limits.pixels} in all"
        )


def allowed(settings: ServerSettings) -> str:
    """Returns in words what a request may hold for a clip."""
    if settings.folder:
        return f"A clip is a path below the folder of this server's clips, or {BYTES}"
    return f"A clip is {BYTES}; this server opens no paths, as {FOLDER} names no folder"


@contextmanager
def opened(asked: str, settings: ServerSettings) -> Iterator[BinaryIO]:
    """Yields the clip that a request asks for, open.

    A text that begins with `data:` holds bytes (RFC 2397). Any other is a path below the folder,
    or bytes in base64 where there is no folder. Bytes are in a private file without a name.

    Raises:
        InputError: It is neither, or larger than allowed. What is outside the folder and what does
            not exist get the same answer.
    """
    if settings.folder and not asked.startswith(DATA):
        with _below(settings.folder, asked) as clip:
            _require_small(os.fstat(clip.fileno()).st_size, settings)
            yield clip
        return
    content = _decoded(asked, settings)
    with tempfile.TemporaryFile(prefix="stemtune-") as file:
        file.write(content)
        file.flush()
        yield file


def _below(folder: Path, asked: str) -> BinaryIO:
    """Opens a regular file below a folder, once; no link on the way there is followed.

    What is judged is what is open, so nobody can swap one for the other in between.
    """
    problem = InputError(
        f"there is no clip {_shown(asked)} below the folder of this server's clips; links are not "
        "followed"
    )
    path = Path(asked)
    if len(asked) > LONGEST_PATH or ".." in path.parts:
        raise problem
    if path.is_absolute():
        if not path.is_relative_to(folder):
            raise problem
        path = path.relative_to(folder)
    try:
        descriptor = _descriptor(folder, path.parts)
    except (OSError, ValueError):
        # Nothing there, a link, a name too long, no permission, or no name of a file.
        raise problem from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise problem
    return os.fdopen(descriptor, "rb")


def _descriptor(folder: Path, parts: Sequence[str]) -> int:
    """Opens what is at the end of a way down from a folder; no part of it may be a link."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    for position, part in enumerate(parts, start=1):
        # A pipe would have its opening wait.
        kind = os.O_NONBLOCK if position == len(parts) else os.O_DIRECTORY
        above = descriptor
        try:
            descriptor = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | kind, dir_fd=above)
        finally:
            os.close(above)
    return descriptor


def _decoded(asked: str, settings: ServerSettings) -> bytes:
    begin = 0
    if asked.startswith(DATA):
        comma = asked.find(",", 0, LONGEST_HEAD)
        if comma < 0 or not asked[:comma].lower().endswith(";base64"):
            raise InputError(f"{_shown(asked)} holds no bytes in base64")
        begin = comma + 1
    _require_small((len(asked) - begin) * 3 // 4, settings)
    try:
        text = asked[begin:].encode("ascii").translate(None, b" \t\r\n")
        content = base64.b64decode(text, validate=True)
    except UnicodeEncodeError:
        raise InputError(f"{_shown(asked)} holds a character that base64 has not") from None
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
