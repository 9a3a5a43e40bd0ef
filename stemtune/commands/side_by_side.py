"""Several models that see the same clip: what each says of it, and how long it takes."""

import shutil
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from stemtune.commands.models import Model
from stemtune.core.settings.frames import Limits
from stemtune.media.sandbox import Sandbox
from stemtune.report import pictures

# Side of the pictures that are shown, px; classes that are shown; how often a model is timed.
SIDE, CLASSES, REPEATS = 176, 3, 3


@dataclass(frozen=True)
class Answer:
    """What a model says of a clip.

    Attributes:
        model: Its name.
        classes: The most probable ones, each with its probability, the mean over the frames.
        milliseconds: For all frames, without decoding; the least of `REPEATS` times.
    """

    model: str
    classes: list[tuple[str, float]]
    milliseconds: float


@dataclass(frozen=True)
class Seen:
    """A clip that was classified.

    Attributes:
        frames: As addresses of themselves.
        decoding_milliseconds: How long it took to take them.
        answers: By model.
    """

    frames: list[str]
    decoding_milliseconds: float
    answers: list[Answer]


class SideBySide:
    """Runs models on clips, one at a time, so each model has the machine to itself."""

    def __init__(self, models: Mapping[str, Model], limits: Limits) -> None:
        """Has the models ready.

        Args:
            models: By the names that are shown.
            limits: Of a clip.
        """
        self._models = models
        # Those of one pipeline take the same frames.
        self._specification = next(iter(models.values())).specification
        self._seconds = limits.decode_seconds
        self._sandbox = Sandbox(limits, decoders=1)
        self._turn = threading.Lock()
        for model in models.values():
            self._warm_up(model)

    def see(self, clip: BinaryIO) -> Seen:
        """Returns what is seen in a clip.

        Raises:
            DecodeError: It cannot be decoded, or is past a limit.
            BusyError: Others were decoded for as long as that may take.
        """
        wanted = self._specification
        with tempfile.NamedTemporaryFile(prefix="stemtune-") as file:
            shutil.copyfileobj(clip, file)
            file.flush()
            began = time.perf_counter()
            sample = self._sandbox.sample(
                Path(file.name), wanted.frames_per_clip, wanted.size, self._seconds
            )
            milliseconds = (time.perf_counter() - began) * 1000
        with self._turn:
            answers = [_answer(name, model, sample.frames) for name, model in self._models.items()]
        return Seen(
            [pictures.address(frame, SIDE) for frame in sample.frames], milliseconds, answers
        )

    def _warm_up(self, model: Model) -> None:
        count, side = self._specification.frames_per_clip, self._specification.size
        # The first call compiles the model, the second for any number of frames.
        for number in (count, count + 1):
            model.frames(np.zeros((number, side, side, 3), np.uint8))


def _answer(name: str, model: Model, frames: np.ndarray) -> Answer:
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        found = model.frames(frames)
        times.append((time.perf_counter() - began) * 1000)
    means = found.mean().sort_values(ascending=False, kind="stable")[:CLASSES]
    return Answer(name, [(str(key), float(share)) for key, share in means.items()], min(times))
