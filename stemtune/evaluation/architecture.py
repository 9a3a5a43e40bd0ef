"""What a classifier consists of, layer by layer, to be drawn (the paper's figure 2)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stemtune.networks.classifier import Classifier


@dataclass(frozen=True)
class Block:
    """A layer or network that frames pass through.

    Attributes:
        name: For people.
        detail: What it does, in a few words.
        side: Of the frames that leave it, px; None: what leaves it is no picture.
        parameters: How many it has.
        trained: Whether they were trained for this classifier.
    """

    name: str
    detail: str
    side: int | None
    parameters: int
    trained: bool


def describe(classifier: "Classifier", size: int, trained_head: bool) -> list[Block]:
    """Returns the blocks of a classifier with a stem, from stored frames to answers.

    Args:
        classifier: With a stem.
        size: Side of the stored frames, px.
        trained_head: Whether the head was trained for this classifier.
    """
    blocks = [Block("frame", "RGB, in [0, 1]", size, 0, False)]
    shape: tuple[int | None, ...] = (None, size, size, 3)
    for layer in classifier.require_stem().layers:
        shape = layer.compute_output_shape(shape)
        detail = "cuts off below 0"
        if hasattr(layer, "padding") and not hasattr(layer, "kernel_size"):
            before, after = layer.padding[0]
            detail = f"{before} px of zeros before, {after} after, along each axis"
        if hasattr(layer, "kernel_size"):
            height, width = layer.kernel_size
            detail = f"{layer.filters} filters of {height} x {width}, stride {layer.strides[0]}"
        trained = bool(layer.trainable_variables)
        blocks.append(Block(type(layer).__name__, detail, shape[1], layer.count_params(), trained))
    backbone, head = classifier.backbone, classifier.head
    networks = [layer.name for layer in backbone.layers if hasattr(layer, "layers")]
    blocks.append(
        Block("frozen network", ", ".join(networks), None, backbone.count_params(), False)
    )
    classes = head.output_shape[-1]
    name = "head" if trained_head else "frozen head"
    blocks.append(Block(name, f"{classes} classes", None, head.count_params(), trained_head))
    return blocks
