"""What a page that we write may load and run: nothing but what is in it, and no script."""

from markupsafe import Markup

# Of every page; those of `stemtune demo` may send forms and run one script.
SHARED = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'"
# For a page's head, before all that it rules.
META = Markup('<meta http-equiv="Content-Security-Policy" content="{}">').format(
    f"{SHARED}; form-action 'none'"
)
