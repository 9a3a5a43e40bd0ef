"""LiteRT files: a classifier for a device in one file, and such a file at work.

A file is a ZIP archive as well, behind the network that LiteRT reads: in it are the names of the
classes and what frames the classifier takes. TensorFlow is not imported.
"""

import json
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

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
            for name, content in ((CLASSES_FILE, classes), (SPECIFICATION_FILE, asdict(takes))):
                text = json.dumps(content, ensure_ascii=False, sort_keys=True)
                # A ZipInfo of its own has no time of writing.
                archive.writestr(zipfile.ZipInfo(name), text)


class LiteRTClassifier:
    """A file that `write` wrote.

    Attributes:
        classes: Names, in the order of the probabilities.
        specification: Frames like those that it was trained on are shown to it.
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
                self.classes: list[str] = json.loads(archive.read(CLASSES_FILE))
                self.specification = InputSpecification(
                    **json.loads(archive.read(SPECIFICATION_FILE))
                )
        except (FileNotFoundError, zipfile.BadZipFile, KeyError) as error:
            raise InputError(
                f"{path} is no export of this project ({error}); `dvc repro` writes exports/"
            ) from error
        with reproducibility.without_remarks():
            from ai_edge_litert.interpreter import Interpreter

            self._interpreter = Interpreter(str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        [self._input] = [entry["index"] for entry in self._interpreter.get_input_details()]
        [self._output] = [entry["index"] for entry in self._interpreter.get_output_details()]

    def frames(self, frames: np.ndarray) -> pd.DataFrame:
        """Returns the probabilities of frames (n, h, w, 3), uint8, RGB: a row each.

        Frames of another side than the classifier's are scaled as those of a clip are.

        Raises:
            InputError: They are of another shape or type, or none.
        """
        given_frames.require(frames)
        size, side = self.specification.size, self.specification.side
        if frames.shape[1:3] not in ((side, side), (size, size)):
            frames = scaling.scale(frames, size)
        return pd.DataFrame(self.probabilities(frames), columns=self.classes)

    def probabilities(self, frames: np.ndarray) -> np.ndarray:
        """Returns the probabilities (n, classes), float32, of square frames, resized by area."""
        seen = scaling.shrink(frames, self.specification.side)
        return np.concatenate([self.answer(frame[None]) for frame in seen])

    def answer(self, frame: np.ndarray) -> np.ndarray:
        """Returns the probabilities (1, classes) of one frame (1, side, side, 3), uint8."""
        self._interpreter.set_tensor(self._input, frame)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output)
