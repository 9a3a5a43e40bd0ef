"""Turns frames into RGB squares with ffmpeg's own filters, as its command line does."""

from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np
from av.filter import Graph

# Exact rounding gives the same pixels on every processor, and costs nothing measurable.
SCALING = "bilinear+accurate_rnd+bitexact"
# A filter of ffmpeg and its arguments.
Step = tuple[str, str | None]


class Converter:
    """Makes squares of one side.

    The filters know where a format places its colour samples, its range and matrix, and its
    fields; one graph serves all frames of a clip.
    """

    def __init__(self, side: int) -> None:
        self._side = side
        self._graph: Graph | None = None
        self._kind: tuple[object, ...] = ()

    def convert(self, frame: av.VideoFrame, before: Sequence[Step] = ()) -> np.ndarray:
        """Returns a frame as (side, side, 3), uint8, RGB.

        Args:
            frame: As decoded.
            before: What crops and turns it to what is to be shown.
        """
        kind = (frame.width, frame.height, frame.format.name, tuple(before))
        if self._graph is None or kind != self._kind:
            self._graph, self._kind = self._build(frame, before), kind
        self._graph.vpush(frame)
        return self._graph.vpull().to_ndarray()

    def _build(self, frame: av.VideoFrame, before: Sequence[Step]) -> Graph:
        graph = Graph()
        graph.threads = 1
        last = graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=frame.time_base or Fraction(1),
        )
        square = ("scale", f"{self._side}:{self._side}:flags={SCALING}")
        for name, arguments in [*before, square, ("format", "rgb24"), ("buffersink", None)]:
            step = graph.add(name, arguments)
            last.link_to(step)
            last = step
        graph.configure()
        return graph


def scale(frames: np.ndarray, side: int) -> np.ndarray:
    """Scales frames (n, h, w, 3), uint8, RGB, n from 1 on, to squares as those of clips are."""
    converter = Converter(side)
    pictures = (av.VideoFrame.from_ndarray(frame, format="rgb24") for frame in frames)
    return np.stack([converter.convert(picture) for picture in pictures])


def shrink(frames: np.ndarray, side: int) -> np.ndarray:
    """Resizes square frames (n, size, size, 3), uint8, to (n, side, side, 3) by averaging areas.

    As `images.resize` does before a classifier sees frames, except for rounding to uint8.
    """
    size = frames.shape[1]
    if size == side:
        return frames
    edges = np.linspace(0, size, side + 1)
    starts, ends = edges[:-1, None], edges[1:, None]
    pixels = np.arange(size)
    shares = np.clip(np.minimum(ends, pixels + 1) - np.maximum(starts, pixels), 0, 1)
    shares = (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)
    resized = [
        np.einsum("ij,jkc,lk->ilc", shares, frame, shares, optimize=True) for frame in frames
    ]
    return np.rint(resized).astype(np.uint8)
