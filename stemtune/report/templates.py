"""Templates of pages that need no other file."""

from pathlib import Path

import jinja2

from stemtune.core import content_policy
from stemtune.report import report_tables

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
    environment.filters |= {"percent": report_tables.percent, "table": report_tables.html}
    return environment.get_template(path.name)
