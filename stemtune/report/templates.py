"""Templates of pages, and how numbers and tables are written in them."""

from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from stemtune.core import content_policy

SHARED = Path(__file__).parent


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
    environment.filters |= {"percent": percent, "table": html}
    return environment.get_template(path.name)


def html(table: pd.DataFrame) -> Markup:
    """Returns a table of text as HTML, escaped; a column's name is its head."""
    # Or pandas cuts long names off.
    with pd.option_context("display.max_colwidth", None):
        markup = table.to_html(index=False, border=0, escape=True, na_rep="", justify="inherit")
    return Markup(markup)  # noqa: S704


def percent(share: float) -> str:
    """Returns a share in [0, 1] as per cent."""
    return f"{100 * share:.2f}%"


def points(share: float) -> str:
    """Returns a difference of shares in percentage points, with its sign."""
    return f"{100 * share:+.1f}".replace("-", "−")  # noqa: RUF001


def interval(low: float | None, high: float | None) -> str:
    """Returns a confidence interval of shares in per cent; "" if there is none."""
    return "" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f}"
