"""Great Expectations' page of a validation, made to be read from one file and without a network."""

import html
import re
from pathlib import Path
from typing import Any

from stemtune.core import content_policy
from stemtune.core.files import write_text
from stemtune.ingest.expectations import Validation

# Scripts, what the page would load from elsewhere, and its navigation to pages that are not made.
LEFT_OUT = re.compile(
    r"<script\b.*?</script>|<link\b[^>]*>|<nav\b.*?</nav>\s*</div>\s*</nav>|<img\b[^>]*>"
    r"|\s(?:href=\"\.\./|on\w+=\")[^\"]*\"",
    flags=re.DOTALL,
)
STYLE = """
<style>
  body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem;
         padding: 0 1rem; color: #222; background: #fff; }
  /* The side bar's buttons need scripts; the fold-outs hold queries. */
  .col-lg-2, [data-toggle=collapse], footer, .collapse { display: none; }
  .alert { border-left: 4px solid #999; background: #f4f4f4; padding: .4rem .8rem;
           margin: 1.2rem 0 .4rem; }
  h5, h6, p { margin: .1rem 0; font-size: 1rem; }
  .table-responsive { overflow-x: auto; }
  table { border-collapse: collapse; width: 100%; }
  td, th { border-bottom: 1px solid #ddd; padding: .35rem .6rem; text-align: left;
           vertical-align: top; }
  .fa-check-circle::before { content: "holds"; color: #17692b; }
  .fa-times::before { content: "fails"; color: #b00020; font-weight: bold; }
  .fas { font-style: normal; }
</style>
</head>
"""


def write(validation: Validation, page: Path) -> None:
    """Writes the page; it holds the time of the validation and changes with each."""
    from great_expectations.render import RenderedDocumentContent
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    class Escaped(RenderedDocumentContent):
        def to_json_dict(self) -> Any:
            return _escaped(content.to_json_dict())

    content = ValidationResultsPageRenderer().render(validation.outcome)
    rendered = LEFT_OUT.sub("", DefaultJinjaPageView().render(Escaped(sections=[])))
    rendered = rendered.replace("<head>", f"<head>{content_policy.META}", 1)
    write_text(page, rendered.replace("</head>", STYLE, 1))


def _escaped(content: Any) -> Any:
    """Returns a page's content with all text escaped: names of clips and classes can be anything.

    Great Expectations itself escapes the parameters of its sentences, and nothing else.
    """
    if isinstance(content, str):
        return html.escape(content)
    if isinstance(content, list):
        return [_escaped(each) for each in content]
    if isinstance(content, dict):
        return {
            name: each if name == "params" else _escaped(each) for name, each in content.items()
        }
    return content
