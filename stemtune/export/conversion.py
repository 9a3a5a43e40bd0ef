"""From a stored classifier to a LiteRT file, in float32 or in int8."""

from pathlib import Path
from typing import Literal, get_args

import numpy as np
import tensorflow as tf

from stemtune.core import files
from stemtune.core.input_specification import CLASSES_FILE
from stemtune.networks import classifier, reproducibility
from stemtune.networks.classifier import Classifier
from stemtune.serving import litert

Precision = Literal["float32", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


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
    network = convert(model, takes.side, precision, calibration)
    litert.write(path, network, files.read_json(stored / CLASSES_FILE), takes)
    return path


def convert(model: Classifier, side: int, precision: Precision, calibration: np.ndarray) -> bytes:
    """Returns a network for LiteRT that takes one frame (1, side, side, 3), uint8.

    It gives probabilities (1, classes), float32, at either precision. A stem is in it in blocks
    (`stem.convolve`): as plain layers, which `Model.export` of Keras writes, it would take as long
    as it saves.

    Args:
        model: The classifier.
        side: Of the frames that it is to see, px.
        precision: Of weights and of what lies between the layers.
        calibration: Frames (n, side, side, 3), uint8, whose ranges int8 is laid out for.
    """
    frame = tf.TensorSpec((1, side, side, 3), tf.uint8, name="frames")
    serve = tf.function(model, input_signature=[frame])
    tracked = tf.Module()
    tracked.parameters = [variable.value for variable in model.model.variables]
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [serve.get_concrete_function()], tracked
    )
    # Or weights would be variables, which int8 does without.
    converter.experimental_enable_resource_variables = False
    if precision == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([frame[None]] for frame in calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
    with reproducibility.without_remarks():
        return bytes(converter.convert())
