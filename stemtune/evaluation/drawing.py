"""How all figures of the report look, and how they become SVG: equal figures, equal bytes."""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from stemtune.evaluation import comparison

STYLE: dict[Any, Any] = {
    # Without them every SVG would hold ids drawn at random.
    "svg.hashsalt": "stemtune",
    "svg.fonttype": "path",
    # Or an image would be stored with as many pixels as it is drawn on.
    "image.composite_image": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e8ee",
    "axes.edgecolor": "#8693a2",
    "font.size": 10,
    "legend.frameon": False,
}
NARROW, WIDE = (5.2, 3.7), (7.6, 4.6)
CONTROL_COLORS = ("#1c2733", "#8693a2", "#3d8bd4", "#1f5f99")
STEM_COLORS = ("#d55e00", "#009e73", "#b5489a", "#e69f00", "#6a51a3", "#7a4b1f")
LONGEST_NAME = 20
# A class or model may be named with dollar signs.
PLAIN: dict[str, Any] = {"parse_math": False}


def colors(models: Sequence[str]) -> dict[str, str]:
    """Returns a color for each model, whatever their order."""
    stems = sorted(set(models) - set(comparison.CONTROLS))
    chosen = dict(zip(comparison.CONTROLS, CONTROL_COLORS, strict=True))
    return chosen | {
        name: STEM_COLORS[number % len(STEM_COLORS)] for number, name in enumerate(stems)
    }


def short(name: str) -> str:
    """Returns a class's name as it fits beside an axis."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def svg(figure: Figure) -> str:
    """Returns a figure as SVG, and closes it."""
    buffer = io.StringIO()
    nameless = {"Date": None, "Creator": None}
    figure.savefig(buffer, format="svg", metadata=nameless, bbox_inches="tight", pad_inches=0.05)
    plt.close(figure)
    return buffer.getvalue()
