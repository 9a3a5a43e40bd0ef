"""Figures of the kernels of a stem, as SVG."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from stemtune.report.drawing import STYLE, svg


def kernels(rows: Mapping[str, Sequence[np.ndarray]]) -> str:
    """Draws the kernels of a stem's convolutions.

    Args:
        rows: By what they are ("learned"), the kernels (h, w, 3, 3) of each convolution.
    """
    count = len(next(iter(rows.values())))
    with plt.rc_context({**STYLE, "axes.grid": False}):
        figure, grid = plt.subplots(
            len(rows),
            count,
            figsize=(2.6 * count, 2.5 * len(rows)),
            layout="constrained",
            squeeze=False,
        )
        for (row, column), axes in np.ndenumerate(grid):
            name, convolutions = list(rows.items())[row]
            kernel = convolutions[column]
            _kernel(axes, kernel)
            axes.set_title(f"{name}, {kernel.shape[0]} x {kernel.shape[1]}", fontsize=10, pad=16)
        return svg(figure)


def _kernel(axes: Axes, kernel: np.ndarray) -> None:
    """Draws a kernel as a square per output channel (row) and input channel (column)."""
    height, width, inputs, outputs = kernel.shape
    # A cell between the squares stays empty.
    rows, columns = outputs * (height + 1) - 1, inputs * (width + 1) - 1
    canvas = np.full((rows, columns), np.nan)
    for output, channel in np.ndindex(outputs, inputs):
        top, left = output * (height + 1), channel * (width + 1)
        canvas[top : top + height, left : left + width] = kernel[:, :, channel, output]
    strongest = float(np.abs(kernel).max()) or 1.0
    image = axes.imshow(
        canvas,
        cmap="RdBu_r",
        vmin=-strongest,
        vmax=strongest,
        interpolation="none",
        extent=(0, columns, rows, 0),
    )
    for output, channel in np.ndindex(outputs, inputs):
        corner = (channel * (width + 1), output * (height + 1))
        axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor="#8693a2"))
    axes.set_xticks([channel * (width + 1) + width / 2 for channel in range(inputs)], "RGB")
    axes.set_yticks(
        [output * (height + 1) + height / 2 for output in range(outputs)],
        [f"to {'RGB'[output]}" for output in range(outputs)],
    )
    axes.tick_params(length=0, labelsize=9, labelbottom=False, labeltop=True)
    axes.spines[:].set_visible(False)
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.7)
    # Or it would be a path for each of its 256 colors.
    if bar.solids:
        bar.solids.set_rasterized(True)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8)
