"""Takes frames from a clip: pictures are decoded with Pillow, videos with PyAV."""

import errno
import resource
import sys
from functools import cache
from importlib import metadata
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any

import av.error
import PIL
import pillow_heif
from PIL import features

from stemtune.core.settings.frames import Limits
from stemtune.media import containers, jpegs, sampling, stills, video
from stemtune.media.sampling import (
    DecodeError,
    LimitError,
    ReadError,
    Sample,
    Span,
    UnexpectedError,
)

# A change of this package that changes pixels has to change this; libraries tell by themselves.
DECODER_VERSION = "4"
# What a damaged file has the system say, by a place outside it; all else is the disk's.
OF_CONTENT = (errno.EINVAL, errno.EOVERFLOW, errno.EFBIG)
# Characters of an unexpected error that the reason shows.
SAID = 200


class Disk(FileIO):
    """A file that remembers that the system failed to read it: some libraries keep that back."""

    failure: OSError | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            return super().read(size)
        except OSError as error:
            self.failure = error
            raise

    def readinto(self, buffer: Any, /) -> int | None:
        try:
            return super().readinto(buffer)
        except OSError as error:
            self.failure = error
            raise


@cache
def libraries() -> str:
    """Returns which code decodes here, with versions: another one may give other pixels."""
    codecs = ("jpg", "libjpeg_turbo", "jpg_2000", "webp", "avif", "libtiff", "zlib", "littlecms2")
    parts = [
        ("decoder", DECODER_VERSION),
        ("av", av.__version__),
        *((name, ".".join(map(str, version))) for name, version in av.library_versions.items()),
        ("pillow", PIL.__version__),
        *((name, features.version(name)) for name in codecs),
        ("pillow_heif", pillow_heif.__version__),
        *pillow_heif.libheif_info()["decoders"].items(),
        ("libheif", pillow_heif.libheif_version()),
        ("imagehash", metadata.version("imagehash")),
    ]
    return ", ".join(f"{name} {version}" for name, version in parts)


def sample_frames(
    path: Path, count: int, side: int, limits: Limits, span: Span | None = None
) -> Sample:
    """Returns the frames shown at the middle of `count` equal spans of a clip.

    A frame is shown until the next one starts, so a clip with fewer frames repeats some. A
    still image gives one. The whole frame is scaled to the square: nothing at the border is lost.
    What the file says about turning, mirroring and cropping is applied.

    Whatever the libraries raise while they read this clip is about this clip.

    Args:
        path: Of the clip.
        count: How many frames to take, from 1 on.
        side: Of the squares, px.
        limits: Of pixels and frames; the caller limits seconds and memory.
        span: The part of the clip whose equal parts are meant; None: all of it.

    Raises:
        DecodeError: The file is neither video nor picture, has no frames, or is damaged.
        LimitError: It has more pixels or frames, or takes more memory, than `limits` allow.
        ReadError: The system failed to read it.
        UnexpectedError: A library failed otherwise.
    """
    try:
        sample = None
        with Disk(path) as raw:
            file = BufferedReader(raw)
            try:
                if not (is_stream := jpegs.is_stream(file)):
                    sample = stills.sample(file, path, count, side, limits, span)
                source = containers.Source(raw, is_stream)
                return sample or video.sample(source, count, side, limits, span)
            finally:
                if raw.failure:
                    # Whatever the libraries made of it.
                    raise raw.failure
    except DecodeError:
        raise
    except MemoryError as error:
        raise _out_of_memory(limits) from error
    except av.error.InvalidDataError as error:
        raise DecodeError(sampling.NO_CLIP) from error
    except av.error.FFmpegError as error:
        # Its codes are those of the system, but tell of the content.
        raise DecodeError(f"cannot be decoded: {error.strerror or error}") from error
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise _out_of_memory(limits) from error
        if error.errno and error.errno not in OF_CONTENT:
            raise ReadError(f"cannot be read: {error.strerror}") from error
        raise DecodeError(f"cannot be decoded: {error.strerror or error}") from error
    except Exception as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())[:SAID]
        raise UnexpectedError(
            f"cannot be decoded: the library that decodes it failed in an unexpected way ({what})"
        ) from error


def limit_memory(memory_mib: int) -> None:
    """Limits the address space of this process for good, MiB; past it MemoryError is raised.

    Where the system holds no such limit, as macOS does not, a line on stderr says so.
    """
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    allowed = memory_mib * 2**20
    if most != resource.RLIM_INFINITY:
        # The shell's `ulimit -v` can be lowered, never raised.
        allowed = min(allowed, most)
    try:
        # The hard limit too, or an attacker who controls this process could raise it.
        resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
    except (ValueError, OSError) as error:
        print(
            f"limits.memory_mib is not held: this system does not limit memory ({error})",
            file=sys.stderr,
        )


def _out_of_memory(limits: Limits) -> LimitError:
    return LimitError(f"takes more memory than limits.memory_mib allows, {_memory(limits)}")


def _memory(limits: Limits) -> str:
    """Returns how much memory this process may take, in words."""
    allowed = resource.getrlimit(resource.RLIMIT_AS)[0]
    if 0 <= allowed < limits.memory_mib * 2**20:
        return f"{limits.memory_mib} MiB, which `ulimit -v` lowers to {allowed // 2**20} MiB"
    return f"{limits.memory_mib} MiB"
