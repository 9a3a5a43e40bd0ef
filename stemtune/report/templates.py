"""Templates of pages, and how numbers and tables are written in them."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from stemtune.core import content_policy

SHARED = Path(__file__).parent
TABLE = SHARED / "table.html.j2"
# Characters that a phone shows beside each other, and between two columns.
PHONE, GAP = 44, 2


def load(path: Path) -> jinja2.Template:
    """Returns the template in a file, which may include files beside it and `page.css`.

    What it shows is escaped: names of classes and clips are names of files, and can be anything.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([path.parent, SHARED]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["content_policy"] = content_policy.META
    environment.filters |= {"percent": percent, "table": html, "name": name}
    return environment.get_template(path.name)


def html(table: pd.DataFrame, caption: str, words: Collection[str] = (), below: str = "") -> Markup:
    """Returns a table as HTML, escaped.

    Args:
        table: Cells as they are shown; a column's name is its head, a row's first cell the row's.
        caption: What it shows.
        words: Columns of text, which are aligned to the left and may have several lines.
        below: A column that is shown small below the first cell, instead of by itself.
    """
    shown = table.drop(columns=[below] if below else [])
    rendered = load(TABLE).render(
        caption=caption,
        columns=list(shown),
        rows=shown.itertuples(index=False, name=None),
        below=list(table[below]) if below else [],
        words=words,
        is_wide=sum(_width(shown[name], name in words) for name in shown) > PHONE,
    )
    return Markup(rendered)  # noqa: S704


def _width(column: pd.Series, has_lines: bool) -> int:
    """Returns how many characters a column needs beside others, whose head has several lines."""
    head = max(map(len, str(column.name).split()))
    return GAP + (head if has_lines else max([head, *column.astype(str).str.len()]))


def name(text: str) -> Markup:
    """Returns a name, escaped; a line may end behind each underscore."""
    return Markup("_<wbr>").join(text.split("_"))


def percent(share: float) -> str:
    """Returns a share in [0, 1] as per cent."""
    return f"{100 * share:.1f}%"


def accuracy(measured: Any, kind: str) -> str:
    """Returns an accuracy in per cent with its 95% confidence interval, if it has one.

    Args:
        measured: With fields such as `test_accuracy`, `test_accuracy_low` and `test_accuracy_high`.
        kind: Of the accuracy, such as "test_accuracy".
    """
    share, low, high = (getattr(measured, f"{kind}{end}") for end in ("", "_low", "_high"))
    return percent(share) if low is None else f"{percent(share)} ({interval(low, high)})"


def points(share: float) -> str:
    """Returns a difference of shares in percentage points, with its sign."""
    return f"{100 * share:+.1f}".replace("-", "−")  # noqa: RUF001


def interval(low: float, high: float) -> str:
    """Returns a confidence interval of shares in per cent."""
    return f"{100 * low:.1f} to {100 * high:.1f}"
