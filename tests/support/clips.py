"""Clips that a test writes itself."""

import base64
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import av
import numpy as np
from PIL import Image

WriteClip = Callable[..., Path]


def write(path: Path, levels: list[int], size: tuple[int, int] = (96, 64), rate: int = 10) -> Path:
    """Writes an H.264 clip whose frame k is of brightness `levels[k]`, and returns its path."""
    shape = (size[1], size[0], 3)
    return write_frames(path, [np.full(shape, level, np.uint8) for level in levels], rate)


def write_frames(
    path: Path,
    frames: list[np.ndarray],
    rate: int = 10,
    codec: Literal["libx264", "mpeg4"] = "libx264",
) -> Path:
    """Writes a clip of frames (h, w, 3), uint8, RGB, H.264 unless told, and returns its path.

    The clip has the same bytes on every machine, hence the same checksum, by which clips are dealt
    to splits: the encoder has one thread, and colours are converted here, since what FFmpeg makes
    of them depends on what instructions the processor has.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width, _ = frames[0].shape
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(_yuv(frame), format="yuv420p")))
        container.mux(stream.encode())
    return path


def _yuv(frame: np.ndarray) -> np.ndarray:
    """Returns a frame (h, w, 3), uint8, RGB, of even sides as planes (3h/2, w) of BT.601."""
    height, width, _ = frame.shape
    # https://www.itu.int/rec/R-REC-BT.601, 8 bits: 219 levels of light, 224 of either colour.
    weights = np.array([[65481, 128553, 24966], [-37797, -74203, 112000], [112000, -93786, -18214]])
    planes = frame.astype(np.int64) @ weights.T // 255
    halves = planes[..., 1:].reshape(height // 2, 2, width // 2, 2, 2).sum((1, 3)) // 4
    rounded = [(16_500 + planes[..., 0]) // 1000, *np.moveaxis((128_500 + halves) // 1000, 2, 0)]
    flat = np.concatenate([plane.ravel() for plane in rounded])
    return flat.reshape(height * 3 // 2, width).astype(np.uint8)


def as_bytes(path: Path) -> str:
    """Returns a clip's bytes as a request to a served classifier holds them."""
    return f"data:;base64,{base64.b64encode(path.read_bytes()).decode()}"


def scene(seed: int, size: tuple[int, int] = (96, 64), frames: int = 8) -> list[np.ndarray]:
    """Returns frames of a scene that no other seed shows: blots that drift a little."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), np.uint8)
    picture = Image.fromarray(coarse).resize((size[0] + frames, size[1]), Image.Resampling.BICUBIC)
    return [
        np.asarray(picture.crop((shift, 0, shift + size[0], size[1]))) for shift in range(frames)
    ]


def endless() -> bytes:
    """Returns an animation that takes far longer to decode than a test may take."""
    file = io.BytesIO()
    Image.new("P", (4096, 4096)).save(file, "GIF")
    content = file.getvalue()
    begin = 13 + 3 * 2 ** ((content[10] & 7) + 1)
    return content[:begin] + content[begin:-1] * 600 + b";"


def bomb(side: int) -> bytes:
    """Returns a small black PNG that decodes to `side` x `side` pixels, a multiple of 100."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    packer = zlib.compressobj(wbits=-15)
    lines = packer.compress(bytes((1 + side * 3) * 100)) + packer.flush(zlib.Z_FULL_FLUSH)
    # Adler's checksum of so many zeros.
    checksum = (side * (1 + side * 3) % 65521) << 16 | 1
    stream = b"\x78\x9c" + lines * (side // 100) + b"\x03\x00" + struct.pack(">I", checksum)
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"IDAT", stream),
            chunk(b"IEND", b""),
        ]
    )
