"""From a stored classifier to a LiteRT file, in float32, float16 or int8."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from stemtune.core import files
from stemtune.core.input_specification import CLASSES_FILE
from stemtune.export import metadata
from stemtune.export.exports import Precision
from stemtune.networks import classifier, reproducibility
from stemtune.networks.classifier import Classifier
from stemtune.serving import litert

# An int8 file takes a pixel less this.
ZERO_POINT = 128
DESCRIPTIONS: dict[Precision, str] = {
    "float32": "Takes uint8, 0 to 255; gives float32 probabilities.",
    "float16": "Weights are float16. Takes uint8, 0 to 255; gives float32 probabilities.",
    "int8": "All operators are int8. Takes int8, a pixel (0 to 255) less 128: scale 1, zero point "
    "-128. Gives int8: a probability is (value + 128) / 256.",
}


def write(
    model: Classifier, stored: Path, precision: Precision, calibration: np.ndarray, folder: Path
) -> Path:
    """Writes a classifier as a file of a folder, and returns its path.

    Args:
        model: The classifier.
        stored: Where `classifier.save` stored it.
        precision: See `convert`.
        calibration: See `convert`.
        folder: For the file, which is named by classifier and precision.
    """
    takes = classifier.specification(stored)
    path = folder / f"{model.name}_{precision}{litert.SUFFIX}"
    mean = float(ZERO_POINT) if precision == "int8" else 0.0
    described = metadata.Described(model.name, DESCRIPTIONS[precision], mean)
    network = metadata.attach(convert(model, takes.side, precision, calibration), described)
    litert.write(path, network, files.read_json(stored / CLASSES_FILE), takes)
    return path


def convert(model: Classifier, side: int, precision: Precision, calibration: np.ndarray) -> bytes:
    """Returns a network for LiteRT that takes one frame (1, side, side, 3).

    It gives probabilities (1, classes). Its input and output are as `DESCRIPTIONS` says.

    Args:
        model: The classifier.
        side: Of the frames that it takes, px.
        precision: Of weights and of the values between layers.
        calibration: Frames (n, side, side, 3), uint8, that int8's ranges are calibrated on.
    """
    # Traced with uint8, an int8 network would begin with a cast to float32.
    dtype = tf.float32 if precision == "int8" else tf.uint8
    frame = tf.TensorSpec((1, side, side, 3), dtype, name="frames")
    serve = tf.function(model, input_signature=[frame])
    tracked = tf.Module()
    tracked.parameters = [variable.value for variable in model.model.variables]
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [serve.get_concrete_function()], tracked
    )
    # Or weights would be variables, which int8 does without.
    converter.experimental_enable_resource_variables = False
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.representative_dataset = lambda: _full_range(calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    with reproducibility.without_remarks():
        return bytes(converter.convert())


def _full_range(calibration: np.ndarray) -> Iterator[list[Any]]:
    """Yields the frames; two pixels of the first are set to the least and largest value."""
    frames = calibration.astype(np.float32)
    frames[0, 0, 0], frames[0, 0, 1] = 0, 255
    for frame in frames:
        yield [frame[None]]
