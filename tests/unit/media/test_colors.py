"""Colours and crops that a picture's file tells outside an ICC profile."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from tests.support import reference
from tests.support.pictures import UPRIGHT, most, sample, shown


def chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def png_with(*chunks: bytes) -> bytes:
    file = io.BytesIO()
    Image.fromarray(UPRIGHT).save(file, "PNG")
    # After the signature and the header.
    return file.getvalue()[:33] + b"".join(chunks) + file.getvalue()[33:]


def avif(*code_points: int, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(UPRIGHT).save(file, "AVIF", quality=100, subsampling="4:4:4", **options)
    data = file.getvalue()
    return data.replace(b"nclx\0\1\0\r", b"nclx" + struct.pack(">2H", *code_points))


def heic(*code_points: int) -> bytes:
    file = io.BytesIO()
    names = ("color_primaries", "transfer_characteristics", "matrix_coefficients")
    said = dict(zip(names, (*code_points, 0), strict=True))
    # Without a loss.
    pillow_heif.from_pillow(Image.fromarray(UPRIGHT)).save(file, quality=-1, chroma=444, **said)
    return file.getvalue()


P3_CORNERS = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
GAMMA = chunk(b"gAMA", struct.pack(">I", 45455))
LINEAR = chunk(b"gAMA", struct.pack(">I", 100_000))
SECOND = {"save_all": True, "append_images": [Image.fromarray(UPRIGHT[::-1].copy())]}
# File → the colours that it tells, as zscale of ffmpeg names them; "" for those taken as sRGB.
COLORS: dict[str, tuple[Callable[[], bytes], str]] = {
    "cICP.png": (lambda: png_with(chunk(b"cICP", bytes([12, 13, 0, 1]))), "pin=smpte432"),
    "cHRM.png": (
        lambda: png_with(GAMMA, chunk(b"cHRM", struct.pack(">8I", *P3_CORNERS))),
        "pin=smpte432",
    ),
    "gAMA.png": (lambda: png_with(LINEAR), "tin=linear"),
    "usual gAMA.png": (lambda: png_with(GAMMA), ""),
    # libpng leaves these out as mistakes.
    "tiny gAMA.png": (lambda: png_with(chunk(b"gAMA", struct.pack(">I", 1))), ""),
    "huge gAMA.png": (lambda: png_with(chunk(b"gAMA", struct.pack(">I", 2**31 - 1))), ""),
    "no colors.png": (lambda: png_with(GAMMA, chunk(b"cHRM", bytes(32))), ""),
    "PQ.png": (lambda: png_with(chunk(b"cICP", bytes([9, 16, 0, 1]))), ""),
    "nclx.avif": (lambda: avif(12, 13), "pin=smpte432"),
    "nclx, two frames.avif": (lambda: avif(12, 13, **SECOND), "pin=smpte432"),
    "PQ.avif": (lambda: avif(9, 16), ""),
    "nclx.heic": (lambda: heic(12, 13), "pin=smpte432"),
    "HLG.heic": (lambda: heic(9, 18), ""),
}


@pytest.mark.parametrize("name", COLORS)
def test_colors_that_a_file_tells_for_sure_become_those_of_srgb(tmp_path: Path, name: str) -> None:
    make, told = COLORS[name]
    path, plain = tmp_path / name, tmp_path / "plain.png"
    path.write_bytes(make())
    Image.fromarray(UPRIGHT).save(plain)
    known = "min=gbr:m=gbr:rin=full:r=full:p=709:t=iec61966-2-1"
    known += "".join(f":{key}" for key in ("pin=709", "tin=iec61966-2-1") if key[:3] not in told)
    filters = f"format=gbrp,zscale={known}:{told},format=rgb24" if told else "format=rgb24"
    raw = reference.ffmpeg("-i", plain, "-vf", filters, "-f", "rawvideo", "-")
    expected = shown(np.frombuffer(raw, np.uint8).reshape(96, 128, 3))
    difference = np.abs(sample(path).frames[0].astype(int) - expected)
    assert difference.mean() < (2 if name.endswith("avif") else 0.5)
    assert difference.max() <= (32 if name.endswith("avif") else 4)


def cropped(avif: bytes, *fractions: int) -> bytes:
    """Returns an AVIF of one picture with a property more, a clean aperture."""
    aperture = struct.pack(">I4s4IiIiI", 40, b"clap", *fractions)
    links = avif.index(b"ipma")
    count = avif[links + 14]
    end = links + 15 + count
    grown = {b"meta": 41, b"iprp": 41, b"ipco": 40, b"ipma": 1}
    added = bytearray(
        avif[: links - 4]
        + aperture
        + avif[links - 4 : end]
        + bytes([0x80 | count + 1])
        + avif[end:]
    )
    added[links + 40 + 14] += 1
    for kind, more in grown.items():
        place = added.index(kind) - 4
        (size,) = struct.unpack_from(">I", added, place)
        struct.pack_into(">I", added, place, size + more)
    # Where the samples lie, from the start of the file, stands before their size.
    place = added.index(b"iloc") + 18
    (offset,) = struct.unpack_from(">I", added, place)
    struct.pack_into(">I", added, place, offset + 41)
    return bytes(added)


def test_the_crop_of_an_avif_is_applied(tmp_path: Path) -> None:
    path = tmp_path / "cropped.avif"
    # 64 x 48, its centre 16 px to the right and 8 px up.
    path.write_bytes(cropped(avif(1, 13), 64, 1, 48, 1, 16, 1, -8, 1))
    found = sample(path)
    assert (found.width, found.height) == (64, 48)
    assert most(found.frames[0], shown(UPRIGHT[16:64, 48:112].copy())) <= 32
    # One that leads out of the picture is left out.
    path.write_bytes(cropped(avif(1, 13), 640, 1, 48, 1, 16, 1, -8, 1))
    assert sample(path).width == 128
