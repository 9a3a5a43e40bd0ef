"""TFLITE_METADATA: what LiteRT's and MediaPipe's tools read of a file: labels and normalization.

The flatbuffer has the form of TensorFlow's metadata_schema.fbs; numbers below are its slots.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import flatbuffers
from tensorflow.lite.python import schema_py_generated as schema

from stemtune.serving.litert import LABELS_FILE

NAME, IDENTIFIER, MODEL_IDENTIFIER = "TFLITE_METADATA", b"M001", b"TFL3"
IMAGE_PROPERTIES, RGB = 2, 1
NORMALIZATION = 1
TENSOR_AXIS_LABELS = 2
# Of the schema that the slots below come from.
LEAST_PARSER = "1.0.0"


@dataclass(frozen=True)
class Described:
    """What a file says of itself.

    Attributes:
        name: Of the model.
        description: For people: input, output, and what quantized values mean.
        mean: What is subtracted from a pixel, 0 to 255, to give the input tensor's value.
    """

    name: str
    description: str
    mean: float


def attach(network: bytes, described: Described) -> bytes:
    """Returns a LiteRT network with metadata; equal networks give equal bytes."""
    model = schema.ModelT.InitFromPackedBuf(network, 0)
    buffer = schema.BufferT()
    buffer.data = list(build(described))
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = NAME, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    builder = flatbuffers.Builder(len(network) + 4096)
    builder.Finish(model.Pack(builder), MODEL_IDENTIFIER)
    return bytes(builder.Output())


def build(described: Described) -> bytes:
    """Returns the metadata as a flatbuffer."""
    b = flatbuffers.Builder(1024)
    image = _table(b, 2, [("Int8", 0, RGB)])
    content = _table(b, 3, [("Uint8", 0, IMAGE_PROPERTIES), ("UOffset", 1, image)])
    mean, std = _floats(b, [described.mean]), _floats(b, [1.0])
    normalization = _table(b, 2, [("UOffset", 0, mean), ("UOffset", 1, std)])
    unit = _table(b, 2, [("Uint8", 0, NORMALIZATION), ("UOffset", 1, normalization)])
    most = _floats(b, [255.0 - described.mean])
    least_value = _floats(b, [-described.mean])
    stats = _table(b, 2, [("UOffset", 0, most), ("UOffset", 1, least_value)])
    units, frame = _offsets(b, [unit]), b.CreateString("frames")
    of_frame = b.CreateString("One frame, RGB, resized by averaging areas.")
    given = _table(
        b,
        7,
        [
            ("UOffset", 0, frame),
            ("UOffset", 1, of_frame),
            ("UOffset", 3, content),
            ("UOffset", 4, units),
            ("UOffset", 5, stats),
        ],
    )
    label_file = b.CreateString(LABELS_FILE)
    file = _table(b, 5, [("UOffset", 0, label_file), ("Int8", 2, TENSOR_AXIS_LABELS)])
    files, answer = _offsets(b, [file]), b.CreateString("probability")
    of_answer = b.CreateString("Probabilities of the classes, in the order of the labels.")
    answered = _table(
        b, 7, [("UOffset", 0, answer), ("UOffset", 1, of_answer), ("UOffset", 6, files)]
    )
    inputs, outputs = _offsets(b, [given]), _offsets(b, [answered])
    subgraph = _table(b, 10, [("UOffset", 2, inputs), ("UOffset", 3, outputs)])
    subgraphs = _offsets(b, [subgraph])
    name, description = b.CreateString(described.name), b.CreateString(described.description)
    least = b.CreateString(LEAST_PARSER)
    slots = [
        ("UOffset", 0, name),
        ("UOffset", 1, description),
        ("UOffset", 3, subgraphs),
        ("UOffset", 7, least),
    ]
    b.Finish(_table(b, 8, slots), IDENTIFIER)
    return bytes(b.Output())


def _table(b: flatbuffers.Builder, size: int, slots: Sequence[tuple[str, int, int]]) -> int:
    """Writes a table of `size` slots; each that is given has a kind, its number and a value."""
    b.StartObject(size)
    for kind, slot, value in slots:
        if kind == "UOffset":
            b.PrependUOffsetTRelativeSlot(slot, value, 0)
        else:
            getattr(b, f"Prepend{kind}Slot")(slot, value, 0)
    return int(b.EndObject())


def _offsets(b: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return int(b.EndVector())


def _floats(b: flatbuffers.Builder, values: Sequence[float]) -> int:
    b.StartVector(4, len(values), 4)
    for value in reversed(values):
        b.PrependFloat32(value)
    return int(b.EndVector())
