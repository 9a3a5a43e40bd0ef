"""Great Expectations' page of a validation, made to be read from one file and without a network."""

import re
from pathlib import Path

from stemtune.core.files import write_text
from stemtune.ingest.expectations import Validation

# What the page would load from elsewhere, and its navigation to pages that are not made.
ELSEWHERE = re.compile(
    r"<script[^>]*\bsrc=.*?</script>|<link\b[^>]*>|<nav\b.*?</nav>\s*</div>\s*</nav>|<img\b[^>]*>"
    r"|\bhref=\"\.\./[^\"]*\"",
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
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    content = ValidationResultsPageRenderer().render(validation.outcome)
    html = DefaultJinjaPageView().render(content)
    write_text(page, ELSEWHERE.sub("", html).replace("</head>", STYLE, 1))
