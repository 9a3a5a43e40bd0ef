"""How all figures look, and how they become SVG: equal figures, equal bytes."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stemtune.evaluation import comparison

# A user's matplotlibrc would draw other bytes.
matplotlib.rcdefaults()
STYLE: dict[Any, Any] = {
    # Without them every SVG would hold ids drawn at random.
    "svg.hashsalt": "stemtune",
    # Letters are outlines, so they look alike everywhere.
    "svg.fonttype": "path",
    # Or an image would be stored with as many pixels as it is drawn on.
    "image.composite_image": False,
    "figure.constrained_layout.use": True,
    "savefig.bbox": "tight",
    "savefig.pad_inches": 0.05,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e8ee",
    "axes.edgecolor": "#8693a2",
    "font.size": 10,
    "legend.frameon": False,
}
plt.rcParams.update(STYLE)
# So would fonts of the machine, which a cache in the user's home may prefer.
font_manager.fontManager.ttflist.clear()
for font in sorted(Path(matplotlib.get_data_path(), "fonts/ttf").glob("*.ttf")):
    font_manager.fontManager.addfont(font)
# So small that letters can be read on a phone.
NARROW, TALL = (5.2, 3.7), (5.2, 5.2)
# Below a figure, where it hides nothing and is whole on a phone.
LEGEND: dict[str, Any] = {"loc": "outside lower center", "ncols": 2, "fontsize": 9}
COLORS = {
    comparison.BASELINE: ("#1c2733",),
    comparison.RESIZE: ("#8693a2", "#b9c8d8", "#566474"),
    comparison.RETRAINED: ("#3d8bd4", "#1f5f99", "#7fb2e5"),
    comparison.STEM: ("#d55e00", "#009e73", "#b5489a", "#e69f00", "#6a51a3", "#7a4b1f"),
}


def colors(models: Sequence[str]) -> dict[str, str]:
    """Returns a color for each model, whatever their order."""
    chosen: dict[str, str] = {}
    for kind, palette in COLORS.items():
        of_kind = [name for name in sorted(models) if comparison.kind_of(name) == kind]
        chosen |= {name: palette[number % len(palette)] for number, name in enumerate(of_kind)}
    return {name: chosen[name] for name in models}


def accuracy(axes: Axes, x: float, measured: Any, **look: Any) -> None:
    """Draws an accuracy with its 95% interval, %.

    Args:
        axes: To draw on.
        x: Where.
        measured: With `test_accuracy`, `test_accuracy_low` and `test_accuracy_high`, in [0, 1].
        look: As `Axes.errorbar` takes it.
    """
    low, at, high = (
        100 * getattr(measured, f"test_accuracy{end}") for end in ("_low", "", "_high")
    )
    bounds = [[max(at - low, 0)], [max(high - at, 0)]]
    axes.errorbar(x, at, bounds, capsize=3, **look)
    axes.set_ylabel("accuracy on test frames, %")


def svg(figure: Figure) -> str:
    """Returns a figure as SVG, and closes it."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    # What is before it, the declaration of XML, has no place in a page.
    return "<svg" + buffer.getvalue().partition("<svg")[2]
