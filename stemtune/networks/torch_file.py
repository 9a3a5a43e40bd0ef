"""Reads a PyTorch checkpoint of the format before 1.6 into NumPy arrays, without PyTorch.

Such a file is five pickles in a row (magic number, protocol, system, object, storage keys) and
then the raw storages. A pickle can run any code, so the unpickler here admits tensors and their
containers, and refuses every other name.
"""

import math
import os
import pickle
import struct
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype
    length: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self, data: np.ndarray) -> np.ndarray:
        size = data.itemsize
        strides = [size * stride for stride in self.strides]
        try:
            if math.prod(self.shape) > data.size:
                raise ValueError("it has more numbers than its storage")
            # NumPy refuses what lies outside of the storage.
            return np.ndarray(self.shape, data.dtype, data, size * self.offset, strides).copy()
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"a tensor of shape {self.shape}, strides {self.strides} at {self.offset} reaches "
                f"outside its storage of {data.size} numbers: {error}"
            ) from error


def _rebuild_tensor(
    storage: _Storage,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    requires_grad: bool,
    hooks: Any,
) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


class _TensorUnpickler(pickle.Unpickler):
    """Admits ordered dictionaries of tensors; every other global is an error."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        raise pickle.UnpicklingError(
            f"the checkpoint asks for {module}.{name}; only tensors of {', '.join(DTYPES)} in "
            "dictionaries are allowed. Do not load this file: take the published one"
        )

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, length, *_ = pid
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError(f"unknown persistent object {pid!r} in the checkpoint")
        return _Storage(str(key), dtype, int(length))


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Returns the tensors of a checkpoint by name.

    Args:
        path: A state dict saved by `torch.save` before version 1.6 (or later with
            `_use_new_zipfile_serialization=False`).

    Returns:
        Arrays of float32 or int64 in the shapes that they had in PyTorch.

    Raises:
        pickle.UnpicklingError: The file names anything but tensors.
        ValueError: The file is no such checkpoint, contradicts itself, or ends too early.
    """
    try:
        return _read(path)
    except (
        ArithmeticError,
        AttributeError,
        EOFError,
        LookupError,
        MemoryError,
        TypeError,
    ) as error:
        # Of a pickle whose objects are others than torch.save writes, or that ends too early.
        raise ValueError(f"{path}: is no checkpoint of torch.save ({error})") from error


def _read(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as file:
        for expected in (MAGIC_NUMBER, PROTOCOL):
            value = _TensorUnpickler(file).load()
            if value != expected:
                raise ValueError(f"{path}: found {value!r} where {expected!r} was expected")
        system = _TensorUnpickler(file).load()
        if not system["little_endian"]:
            raise ValueError(f"{path}: written on a big-endian machine, which is not supported")
        tensors: dict[str, _Tensor] = _TensorUnpickler(file).load()
        storages = _storages(tensors, path)
        keys = [str(key) for key in _TensorUnpickler(file).load()]
        if sorted(keys) != sorted(storages):
            raise ValueError(f"{path}: has storages {keys}; its tensors need {[*storages]}")
        data = {key: _read_storage(file, storages[key], path) for key in keys}
    return {name: tensor.array(data[tensor.storage.key]) for name, tensor in tensors.items()}


def _storages(tensors: dict[str, _Tensor], path: Path) -> dict[str, _Storage]:
    """Returns the storages of tensors, by key; several tensors may share one."""
    storages: dict[str, _Storage] = {}
    for name, tensor in tensors.items():
        if not isinstance(tensor, _Tensor):
            raise ValueError(f"{path}: {name} is no tensor")
        known = storages.setdefault(tensor.storage.key, tensor.storage)
        if known != tensor.storage:
            raise ValueError(f"{path}: {name} takes a storage for {tensor.storage}, others {known}")
    return storages


def _read_storage(file: BinaryIO, storage: _Storage, path: Path) -> np.ndarray:
    (count,) = struct.unpack("<q", file.read(8))
    if count != storage.length:
        raise ValueError(f"{path}: a storage of {storage.length} numbers claims to have {count}")
    size = count * storage.dtype.itemsize
    left = os.fstat(file.fileno()).st_size - file.tell()
    if not 0 <= size <= left:
        raise ValueError(
            f"{path}: ends in the middle of a tensor, {left} bytes where {size} belong; install "
            "its package again"
        )
    return np.frombuffer(file.read(size), storage.dtype)
