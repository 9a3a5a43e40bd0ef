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
  :root { color-scheme: light dark; --ink: #1c2733; --paper: #fff; --wash: #f5f7fa; --line: #d8dee6;
          --link: #0b5cad; --right: #00714f; --wrong: #b3261e; }
  @media (prefers-color-scheme: dark) {
    :root { --ink: #e6e9ed; --paper: #141414; --wash: #1f2327; --line: #3a4047; --link: #86bdf7;
            --right: #55d3a4; --wrong: #ff9086; }
  }
  body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 76rem; padding: 1.5rem;
         color: var(--ink); background: var(--paper); overflow-wrap: anywhere; }
  a { color: var(--link) !important; margin-right: 1rem; }
  /* The side bar's buttons need scripts; the fold-outs hold queries. */
  .col-lg-2, [data-toggle=collapse], footer, .collapse { display: none; }
  .alert { border-left: 4px solid var(--line); background: var(--wash); padding: .4rem .8rem;
           margin: 1.2rem 0 .4rem; }
  h2, p { margin: .1rem 0; font-size: 1rem; }
  th:first-child { width: 6rem; } th:nth-child(3) { width: 30%; }
  .table-responsive { overflow-x: auto; }
  td .show-scrollbars { overflow: visible; max-height: none; }
  table { border-collapse: collapse; width: 100%; }
  td, th { border-bottom: 1px solid var(--line); padding: .35rem .6rem; text-align: left;
           vertical-align: top; }
  .fa-check-circle::before { content: "holds"; color: var(--right); }
  .fa-times::before { content: "fails"; color: var(--wrong); font-weight: bold; }
  .fas { font-style: normal; }
</style>
</head>
"""
# Below our own heading.
HEADING = re.compile(r"(</?h)[56]\b")
# Before what Great Expectations has to say.
HEAD = """<body>
<header>
<nav aria-label="Pages"><a href="../report/index.html">← Report</a>
<a href="../report/mistakes.html">Mistakes</a> <a href="exports.html">Exported files</a></nav>
<h1>Checks of the clips</h1>
<p>Great Expectations checked the manifest, the table with a row for each clip.</p>
</header>
<main>
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
    rendered = re.sub(r"<th\b", '<th scope="col"', rendered)
    rendered = HEADING.sub(r"\g<1>2", rendered)
    rendered = rendered.replace("<body>", HEAD, 1).replace("</body>", "</main></body>", 1)
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
