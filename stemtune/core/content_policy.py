"""What a page that we write may load and run: nothing but what is in it, and no script."""

from markupsafe import Markup

RULES = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'"
)
# For a page's head, before all that it rules.
META = Markup('<meta http-equiv="Content-Security-Policy" content="{}">').format(RULES)
