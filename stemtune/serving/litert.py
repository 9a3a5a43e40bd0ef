"""LiteRT files: a classifier for a device in one file, and such a file at work.

A file is a ZIP archive as well, behind the network that LiteRT reads: in it are the names of the
classes and what frames the classifier takes. TensorFlow is not imported.
"""

import json
import lzma
import zipfile
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from pydantic import TypeAdapter, ValidationError

from stemtune.core import files
from stemtune.core.errors import InputError
from stemtune.core.input_specification import (
    CLASSES_FILE,
    SPECIFICATION_FILE,
    InputSpecification,
)
from stemtune.media import scaling
from stemtune.networks import reproducibility
from stemtune.serving import given_frames

SUFFIX = ".tflite"
# Of a file of names; no more is unpacked.
MOST_BYTES = 2**20
SHOWN = 300
# What reading an archive that is damaged, encrypted or none at all raises, and LiteRT.
NOT_READABLE = (
    OSError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, KeyError, ValueError,
    RuntimeError,
)  # fmt: skip

LABELS_FILE = "labels.txt"

Content = TypeVar("Content")


def write(path: Path, network: bytes, classes: list[str], takes: InputSpecification) -> None:
    """Writes a file: equal content, equal bytes.

    Args:
        path: Of the file.
        network: From `conversion.convert`.
        classes: Names, in the order of the probabilities.
        takes: Frames of `side` are what the network takes.
    """
    with files.replacing(path) as beside:
        beside.write_bytes(network)
        with zipfile.ZipFile(beside, "a") as archive:
            contents = {
                name: json.dumps(content, ensure_ascii=False, sort_keys=True)
                for name, content in ((CLASSES_FILE, classes), (SPECIFICATION_FILE, asdict(takes)))
            }
            # The tools of LiteRT and MediaPipe read names of classes there, a line each.
            contents[LABELS_FILE] = "\n".join(" ".join(name.split()) for name in classes)
            for name, text in contents.items():
                # A ZipInfo of its own has no time of writing.
                archive.writestr(zipfile.ZipInfo(name), text)


class LiteRTClassifier:
    """A file that `write` wrote.

    Attributes:
        classes: Names, in the order of the probabilities.
        specification: The frames that it was trained on, and takes.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        """Loads it.

        Args:
            path: Of the file.
            threads: On which it runs; None: as LiteRT chooses.

        Raises:
            InputError: It is no such file.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                self.classes = _member(archive, CLASSES_FILE, list[str])
                self.specification = _member(archive, SPECIFICATION_FILE, InputSpecification)
            if min(vars(self.specification).values()) < 1:
                raise ValueError(f"{SPECIFICATION_FILE} has a number below 1")
            with reproducibility.without_remarks():
                from ai_edge_litert.interpreter import Interpreter

                self._interpreter = Interpreter(str(path), num_threads=threads)
                self._interpreter.allocate_tensors()
            self._input = self._only(
                self._interpreter.get_input_details(), (*(self.specification.side,) * 2, 3)
            )
            self._output = self._only(self._interpreter.get_output_details(), (len(self.classes),))
        except NOT_READABLE as error:
            said = " ".join(str(error).split())[:SHOWN]
            raise InputError(
                f"{path} is no export of this project ({said}); `dvc repro` writes exports/"
            ) from error

    @staticmethod
    def _only(tensors: list[dict[str, Any]], shape: tuple[int, ...]) -> dict[str, Any]:
        """Returns the one tensor, for one frame at a time.

        Raises:
            ValueError: There are others, or it has another shape.
        """
        shapes = [tuple(int(length) for length in tensor["shape"]) for tensor in tensors]
        if shapes != [(1, *shape)]:
            raise ValueError(f"its network has {shapes} where {[(1, *shape)]} belongs to its names")
        return tensors[0]

    def frames(self, frames: np.ndarray) -> pd.DataFrame:
        """Returns the probabilities of frames (n, h, w, 3), uint8, RGB: a row each.

        Frames of another side than the classifier's are scaled as those of a clip are.

        Raises:
            InputError: They are of another shape or type, or none.
        """
        takes = self.specification
        batches = given_frames.squares(frames, takes.size, takes.side)
        found = [self.probabilities(batch) for batch in batches]
        return pd.DataFrame(np.concatenate(found), columns=self.classes)

    def probabilities(self, frames: np.ndarray) -> np.ndarray:
        """Returns the probabilities (n, classes), float32, of square frames, resized by area."""
        seen = scaling.shrink(frames, self.specification.side)
        return np.concatenate([self.answer(frame[None]) for frame in seen])

    def answer(self, frame: np.ndarray) -> np.ndarray:
        """Returns the probabilities (1, classes) of one frame (1, side, side, 3), uint8."""
        scale, zero_point = self._input["quantization"]
        if self._input["dtype"] is np.int8:
            values = np.round(frame / scale + zero_point)
            frame = np.clip(values, -128, 127).astype(np.int8)
        self._interpreter.set_tensor(self._input["index"], frame)
        self._interpreter.invoke()
        answer = self._interpreter.get_tensor(self._output["index"])
        if answer.dtype != np.int8:
            return answer
        scale, zero_point = self._output["quantization"]
        return ((answer.astype(np.float32) - zero_point) * scale).astype(np.float32)


def _member(archive: zipfile.ZipFile, name: str, kind: type[Content]) -> Content:
    """Returns what a file of an archive holds.

    Raises:
        KeyError, ValueError and others of `NOT_READABLE`: It is not there, is too large, or holds
            something else.
    """
    entry = archive.getinfo(name)
    if entry.file_size > MOST_BYTES:
        raise ValueError(f"{name} has {entry.file_size} bytes; {MOST_BYTES} are allowed")
    try:
        return TypeAdapter(kind).validate_json(archive.read(entry))
    except ValidationError as error:
        (wrong, *_) = error.errors()
        place = ".".join([name, *map(str, wrong["loc"])])
        raise ValueError(f"{place}: {wrong['msg']}") from None
