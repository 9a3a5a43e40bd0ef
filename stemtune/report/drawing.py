"""How all figures of the report look, and how they become SVG: equal figures, equal bytes."""

import io
import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any
from xml.sax.saxutils import escape

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

from stemtune.evaluation import comparison

# A user's matplotlibrc would draw other bytes.
matplotlib.rcdefaults()
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
CONTROL_COLORS = ("#1c2733", "#8693a2", "#3d8bd4", "#1f5f99", "#7fb2e5")
GRAYS = ("#8693a2", "#b9c8d8", "#566474")
STEM_COLORS = ("#d55e00", "#009e73", "#b5489a", "#e69f00", "#6a51a3", "#7a4b1f")
LONGEST_NAME = 20
# A class or model may be named with dollar signs.
PLAIN: dict[str, Any] = {"parse_math": False}
# They have no width; a stand-in for a name ends in its bits and in the last of them.
ZERO, ONE, LAST = "\u200b", "\u200c", "\u200d"
STAND_IN = re.compile(f"n+([{ZERO}{ONE}]+){LAST}")


def colors(models: Sequence[str]) -> dict[str, str]:
    """Returns a color for each model, whatever their order."""
    kinds = {name: comparison.kind_of(name) for name in sorted(models)}
    chosen = {comparison.BASELINE: CONTROL_COLORS[0]}
    for kind, palette in (
        (comparison.RESIZE, GRAYS),
        (comparison.RETRAINED, CONTROL_COLORS[2:]),
        (comparison.STEM, STEM_COLORS),
    ):
        of_kind = [name for name, its_kind in kinds.items() if its_kind == kind]
        chosen |= {name: palette[number % len(palette)] for number, name in enumerate(of_kind)}
    return {name: chosen[name] for name in models}


def short(name: str) -> str:
    """Returns a class's name as it fits beside an axis, or a stand-in of its width (`svg`)."""
    cut = name
    while len(_widths(cut)) > LONGEST_NAME:
        cut = f"{cut.removesuffix('…')[:-1]}…"
    if _drawable().issuperset(cut):
        return cut
    bits = "".join(f"{byte:08b}" for byte in cut.encode())
    return _widths(cut) + bits.replace("0", ZERO).replace("1", ONE) + LAST


def _meant(stand_in: re.Match[str]) -> str:
    """Returns the name, as XML, that a stand-in is drawn for."""
    bits = stand_in[1].replace(ZERO, "0").replace(ONE, "1")
    return escape(int(bits, 2).to_bytes(len(bits) // 8).decode())


def _widths(name: str) -> str:
    """Returns letters that are as wide as a name, in scripts of wide letters too."""
    return "".join("nn" if unicodedata.east_asian_width(each) in "WF" else "n" for each in name)


@cache
def _drawable() -> frozenset[str]:
    """Returns the letters of the font that Matplotlib brings along, the same on every machine."""
    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    return frozenset(map(chr, font.get_charmap())) - {ZERO, ONE, LAST}


def svg(figure: Figure) -> str:
    """Returns a figure as SVG, and closes it.

    Letters are outlines, so they look alike everywhere. With names that the font lacks, all is
    text, which a reader's own fonts draw.
    """
    buffer = io.StringIO()
    nameless = {"Date": None, "Creator": None}
    has_names = any(LAST in text.get_text() for text in figure.findobj(Text))
    with plt.rc_context({"svg.fonttype": "none"} if has_names else {}):
        figure.savefig(
            buffer, format="svg", metadata=nameless, bbox_inches="tight", pad_inches=0.05
        )
    plt.close(figure)
    return STAND_IN.sub(_meant, buffer.getvalue())
