"""What the report shows of the stems themselves: their layers, kernels, and what they hand on."""

from collections.abc import Mapping

import keras
import numpy as np
import pandas as pd

from stemtune.core.params import Params
from stemtune.core.paths import FRAMES
from stemtune.core.settings.training import AddStem
from stemtune.evaluation import architecture, pictures
from stemtune.evaluation.evaluated_models import EvaluatedModel, EvaluatedModels
from stemtune.networks import images, stem
from stemtune.networks.classifier import Classifier
from stemtune.training.dataset import FrameBatches


def architectures(
    stems: Mapping[str, EvaluatedModel], add_stem: AddStem
) -> dict[str, list[architecture.Block]]:
    """Returns what each classifier with a stem consists of, by variant."""
    return {
        variant: architecture.describe(
            model.classifier, model.input_size, add_stem.variants[variant].head != "frozen"
        )
        for variant, model in stems.items()
    }


def kernels(
    stems: Mapping[str, EvaluatedModel], add_stem: AddStem, seed: int
) -> dict[str, dict[str, list[np.ndarray]]]:
    """Returns, by variant, the kernels of a stem: at its start, learned, and their difference.

    Args:
        stems: By variant.
        add_stem: The settings of the variants.
        seed: Of their starts.
    """
    found = {}
    for variant, model in stems.items():
        learned = kernels_of(model.classifier.require_stem())
        chosen = add_stem.variants[variant]
        first, second = chosen.kernels
        untrained = stem.build(chosen.start, add_stem.downscale, seed, (first, second))
        start = kernels_of(untrained)
        change = [after - before for before, after in zip(start, learned, strict=True)]
        found[variant] = {"start": start, "learned": learned, "learned less start": change}
    return found


def examples(
    models: EvaluatedModels, settings: Params, test: pd.DataFrame, classes: list[str]
) -> list[pictures.Example]:
    """Returns a few test frames, as stored, resized, and as the stems hand them on.

    Args:
        models: Whose answers are shown with the frames.
        settings: The content of params.yaml.
        test: The test frames, rows of the frame table.
        classes: Names of the classes, by label.
    """
    chosen = pictures.choose(test)
    shown = test.iloc[chosen]
    batch = FrameBatches(FRAMES, shown, settings.extract_frames.size, len(shown), seed=None)
    (frames, _) = batch[0]
    made = {"stored": frames, "resize": resized(frames, settings.small_side)}
    made |= {
        variant: pictures.visible(handed_on(model.classifier, frames))
        for variant, model in models.stems.items()
    }
    answers = {
        name: model.probabilities[chosen].argmax(axis=1) for name, model in models.compared.items()
    }
    return [
        pictures.Example(
            clip,
            actual,
            {name: of_all[number] for name, of_all in made.items()},
            {name: classes[labels[number]] for name, labels in answers.items()},
        )
        for number, (clip, actual) in enumerate(zip(shown["clip"], shown["class"], strict=True))
    ]


def resized(frames: np.ndarray, side: int) -> np.ndarray:
    """Returns stored frames (n, h, w, 3), uint8, resized by area, uint8."""
    small = images.resize(images.unit_range(frames), side).numpy()
    return (255 * small).round().astype(np.uint8)


def handed_on(classifier: Classifier, frames: np.ndarray) -> np.ndarray:
    """Returns what the stem of a classifier makes of stored frames (n, h, w, 3), uint8."""
    return classifier.require_stem()(images.unit_range(frames)).numpy()


def kernels_of(stem: keras.Model) -> list[np.ndarray]:
    """Returns the kernels (h, w, 3, 3) of a stem's convolutions, first to last."""
    return [layer.kernel.numpy() for layer in stem.layers if isinstance(layer, keras.layers.Conv2D)]
