"""Reads a PyTorch checkpoint of the format before 1.6 into NumPy arrays, without PyTorch.

Such a file is five pickles in a row (magic number, protocol, system, object, storage keys) and
then the raw storages. A pickle can run any code, so the unpickler here admits tensors and their
containers, and refuses every other name.
"""

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


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self, data: np.ndarray) -> np.ndarray:
        steps = [
            (length - 1) * stride for length, stride in zip(self.shape, self.strides, strict=True)
        ]
        numbers = (self.offset, *self.shape, *self.strides)
        if min(numbers) < 0 or self.offset + sum(steps) >= data.size:
            raise ValueError(
                f"a tensor of shape {self.shape}, strides {self.strides} at {self.offset} reaches "
                f"outside its storage of {data.size} numbers"
            )
        size = self.storage.dtype.itemsize
        view = np.lib.stride_tricks.as_strided(
            data[self.offset :], self.shape, [size * stride for stride in self.strides]
        )
        return view.copy()


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
        kind, dtype, key, *_ = pid
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError(f"unknown persistent object {pid!r} in the checkpoint")
        return _Storage(str(key), dtype)


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Returns the tensors of a checkpoint by name.

    Args:
        path: A state dict saved by `torch.save` before version 1.6 (or later with
            `_use_new_zipfile_serialization=False`).

    Returns:
        Arrays of float32 or int64 in the shapes that they had in PyTorch.

    Raises:
        pickle.UnpicklingError: The file names anything but tensors.
        ValueError: The file is no such checkpoint, or ends too early.
    """
    with path.open("rb") as file:
        for expected in (MAGIC_NUMBER, PROTOCOL):
            value = _TensorUnpickler(file).load()
            if value != expected:
                raise ValueError(f"{path}: found {value!r} where {expected!r} was expected")
        system = _TensorUnpickler(file).load()
        if not system["little_endian"]:
            raise ValueError(f"{path}: written on a big-endian machine, which is not supported")
        tensors: dict[str, _Tensor] = _TensorUnpickler(file).load()
        keys = _TensorUnpickler(file).load()
        dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in tensors.values()}
        data = {key: _read_storage(file, dtypes[key], path) for key in keys}
    return {name: tensor.array(data[tensor.storage.key]) for name, tensor in tensors.items()}


def _read_storage(file: BinaryIO, dtype: np.dtype, path: Path) -> np.ndarray:
    (count,) = struct.unpack("<q", file.read(8))
    raw = file.read(count * dtype.itemsize)
    if len(raw) != count * dtype.itemsize:
        raise ValueError(f"{path}: ends in the middle of a tensor; install its package again")
    return np.frombuffer(raw, dtype)
