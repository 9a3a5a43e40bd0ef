"""What the report shows of the stems themselves: their kernels and their output."""

from collections.abc import Mapping

import keras
import numpy as np
import pandas as pd

from stemtune.core.params import Params
from stemtune.core.paths import FRAMES
from stemtune.core.settings.training import AddStem
from stemtune.evaluation.comparison import RESIZE, named
from stemtune.networks import images, stem
from stemtune.report import pictures
from stemtune.store import frame_store


def kernels(
    stems: Mapping[str, keras.Model], add_stem: AddStem, seed: int
) -> dict[str, dict[str, list[np.ndarray]]]:
    """Returns, by variant, the kernels of a stem: at its start, learned, and their difference.

    Args:
        stems: By variant.
        add_stem: Block add_stem of params.yaml.
        seed: Of their start.
    """
    found, start = {}, kernels_of(stem.build(add_stem.downscale, seed))
    for variant, trained in stems.items():
        learned = kernels_of(trained)
        change = [after - before for before, after in zip(start, learned, strict=True)]
        found[variant] = {"start": start, "learned": learned, "learned less start": change}
    return found


def examples(
    stems: Mapping[str, keras.Model],
    answers: Mapping[str, pd.DataFrame],
    settings: Params,
    test: pd.DataFrame,
) -> list[pictures.Example]:
    """Returns a few test frames: as stored, resized, and as the stems' output.

    Args:
        stems: By variant.
        answers: By model, rows of `actual` and `predicted`, one per test frame.
        settings: The content of params.yaml.
        test: The test frames, rows of the frame table.
    """
    chosen = pictures.choose(test)
    rows = test.iloc[chosen]
    size, small = settings.extract_frames.size, settings.small_side
    places = zip(rows["shard"], rows["index"], strict=True)
    frames = np.stack([frame_store.read_frame(FRAMES, *place, size) for place in places])
    made = {"stored": frames, named(RESIZE, small): resized(frames, small)}
    made |= {variant: pictures.visible(output(stem, frames)) for variant, stem in stems.items()}
    return [
        pictures.Example(
            test["class"].iloc[place],
            {name: of_all[number] for name, of_all in made.items()},
            {name: table["predicted"].iloc[place] for name, table in answers.items()},
        )
        for number, place in enumerate(chosen)
    ]


def resized(frames: np.ndarray, side: int) -> np.ndarray:
    """Returns stored frames (n, h, w, 3), uint8, resized by area, uint8."""
    small = images.resize(images.unit_range(frames), side).numpy()
    return (255 * small).round().astype(np.uint8)


def output(stem: keras.Model, frames: np.ndarray) -> np.ndarray:
    """Returns a stem's output for stored frames (n, h, w, 3), uint8."""
    return stem(images.unit_range(frames)).numpy()


def kernels_of(stem: keras.Model) -> list[np.ndarray]:
    """Returns the kernels (h, w, 3, 3) of a stem's convolutions, first to last."""
    return [layer.kernel.numpy() for layer in stem.layers if isinstance(layer, keras.layers.Conv2D)]
