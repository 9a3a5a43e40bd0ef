"""Makers of odd files: videos that ffmpeg writes, pictures, and what only looks like either."""

import os
import shutil
import socket
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.support.reference import FFMPEG

PICTURE = "-f lavfi -i testsrc2=size=160x120:rate=10:duration=2"
SOUND = "-f lavfi -i sine=duration=1"
H264 = "-c:v libx264 -pix_fmt yuv420p"

Make = Callable[[Path], object]


def ffmpeg(path: Path, *arguments: str, container: str = "") -> None:
    """Writes a file with ffmpeg under a plain name, then gives it its own."""
    plain = path.with_name(f"making{container or path.suffix}")
    words = [word for argument in arguments for word in argument.split()]
    subprocess.run([FFMPEG, "-v", "error", "-nostdin", "-y", *words, plain], check=True)
    plain.rename(path)


def video(*arguments: str, container: str = "") -> Make:
    return lambda path: ffmpeg(path, PICTURE, *(arguments or (H264,)), container=container)


def from_video(change: Callable[[bytes], bytes], *arguments: str, container: str = "") -> Make:
    """Makes a video and changes its bytes."""

    def make(path: Path) -> None:
        video(*arguments, container=container)(path)
        path.write_bytes(change(path.read_bytes()))

    return make


def content(data: bytes | str) -> Make:
    return lambda path: path.write_bytes(data.encode() if isinstance(data, str) else data)


def link(target: str) -> Make:
    return lambda path: path.symlink_to(target)


def png(width: int, height: int, rows: int) -> bytes:
    """Returns a black PNG of one bit per pixel that has the data of its first rows."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(bytes(1 + width // 8)) for _ in range(rows)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    end = chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + end


def gif(frames: int) -> bytes:
    """Returns a GIF of one pixel and many frames, a tenth of a second each."""
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes([0, 0, 0, 255, 255, 255])
    control = b"\x21\xf9\x04" + struct.pack("<BHBB", 0, 10, 0, 0)
    picture = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return head + (control + picture) * frames + b"\x3b"


def cover_picture(path: Path) -> None:
    picture = path.with_name("cover.png")
    ffmpeg(picture, PICTURE, "-frames:v 1")
    ffmpeg(path, SOUND, f"-i {picture} -map 0 -map 1 -disposition:v attached_pic -c:v copy")
    picture.unlink()


def two_sizes(path: Path) -> None:
    """A stream whose frames change their size half way."""
    parts = []
    for size in ("160x120", "96x96"):
        part = path.with_name(f"{size}.h264")
        ffmpeg(part, f"-f lavfi -i testsrc2=size={size}:rate=10:duration=1", H264)
        parts.append(part.read_bytes())
        part.unlink()
    path.write_bytes(b"".join(parts))


def slides(path: Path) -> None:
    """A slide show: 3 pictures, the second of which stays for an hour."""
    ffmpeg(path, PICTURE, "-frames:v 3 -vf setpts='if(eq(N,2),36000,N)*0.1/TB' -fps_mode vfr", H264)


def listening(path: Path) -> None:
    # A socket's address is short; the name that it has in the folder does not matter to it.
    short = Path(f"/tmp/stemtune {os.getpid()}")  # noqa: S108
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(short))
    shutil.move(short, path)


def photo(**metadata: Any) -> Make:
    """Makes a photograph as a camera held upright stores it, turned and with EXIF that says so."""

    def make(path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112], exif[0x010F] = 6, "NIKON"
        # Each a content of its own, not to be put into one group by it.
        noise = np.random.default_rng(sum(path.name.encode())).integers(0, 256, (96, 128, 3))
        picture = Image.fromarray(noise.astype(np.uint8))
        picture.save(path, exif=exif, **metadata)

    return make


def camera_clip(path: Path) -> None:
    """A clip of a camera of the years around 2000, each frame of which is a photograph."""
    for number in range(10):
        photo()(path.with_name(f"{number}.jpg"))
    ffmpeg(path, f"-framerate 5 -i {path.with_name('%d.jpg')} -c copy")
    for number in range(10):
        path.with_name(f"{number}.jpg").unlink()


def latin1_title(path: Path) -> None:
    """A title as programs of Windows wrote it, in bytes that are no UTF-8."""
    video(H264, "-metadata title=Caf00")(path)
    path.write_bytes(path.read_bytes().replace(b"Caf00", b"Caf\xe9s"))
