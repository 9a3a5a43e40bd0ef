"""One TFRecord file per clip: a record per frame, raw bytes of a fixed shape and dtype.

TFRecord is read by TensorFlow and others; written and read here without TensorFlow, which takes
seconds to import. Records of one shard have one length, so that frame i is found by a seek.
Format: length (uint64), masked CRC-32C of it, data, masked CRC-32C of the data, little-endian.
"""

import struct
from pathlib import Path

import google_crc32c
import numpy as np

from stemtune.core import litter
from stemtune.core.errors import InputError
from stemtune.core.files import remove, replacing

HEADER = struct.Struct("<QI")
FOOTER = struct.Struct("<I")
SUFFIX = ".tfrecord"


class ShardError(InputError):
    """A shard is damaged, or holds other frames than expected."""


def path_of(folder: Path, name: str) -> Path:
    """Returns where the shard of that name lies."""
    return folder / f"{name}{SUFFIX}"


def remove_others(folder: Path, keep: set[str]) -> None:
    """Deletes all but litter and the shards named in `keep`: those of removed clips, say."""
    kept = {path_of(folder, name) for name in keep}
    for path in litter.visible(folder):
        if path not in kept:
            remove(path)


def write(path: Path, frames: np.ndarray) -> None:
    """Writes frames (n, …) of any dtype, one record each, to `path`, whole or not at all."""
    with replacing(path) as beside, beside.open("wb") as file:
        for frame in frames:
            data = frame.tobytes()
            length = struct.pack("<Q", len(data))
            file.write(length + FOOTER.pack(_masked_crc(length)) + data)
            file.write(FOOTER.pack(_masked_crc(data)))


def read(path: Path, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Reads a shard: an array (n, *shape).

    Raises:
        ShardError: A record is damaged or has another length.
    """
    size = _record_size(shape, dtype)
    count, rest = divmod(path.stat().st_size, size)
    if rest or not count:
        raise _error(path, f"its length is no multiple of {size} bytes, the size of a frame")
    with path.open("rb") as file:
        records = [_parse(file.read(size), path) for _ in range(count)]
    return np.frombuffer(b"".join(records), dtype).reshape(count, *shape)


def read_frame(path: Path, index: int, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Reads frame `index` of a shard, an array of `shape`; raises as `read` does."""
    size = _record_size(shape, dtype)
    with path.open("rb") as file:
        file.seek(index * size)
        record = file.read(size)
    if len(record) != size:
        raise _error(path, f"it has no frame {index} of {shape} {dtype}")
    return np.frombuffer(_parse(record, path), dtype).reshape(shape)


def is_whole(path: Path, shape: tuple[int, ...], dtype: str) -> bool:
    """Tells whether a shard exists and every record in it is as it was written."""
    try:
        read(path, shape, dtype)
    except (FileNotFoundError, ShardError):
        return False
    return True


def _record_size(shape: tuple[int, ...], dtype: str) -> int:
    return HEADER.size + int(np.prod(shape)) * np.dtype(dtype).itemsize + FOOTER.size


def _parse(record: bytes, path: Path) -> bytes:
    length, length_crc = HEADER.unpack_from(record)
    data = record[HEADER.size : -FOOTER.size]
    (data_crc,) = FOOTER.unpack_from(record, len(record) - FOOTER.size)
    if length != len(data):
        raise _error(path, f"a record has {length} bytes where {len(data)} were expected")
    if _masked_crc(record[:8]) != length_crc or _masked_crc(data) != data_crc:
        raise _error(path, "its checksum does not fit its content")
    return data


def _masked_crc(data: bytes) -> int:
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _error(path: Path, reason: str) -> ShardError:
    return ShardError(f"{path} is not the shard it should be: {reason}; delete it and `dvc repro`")
