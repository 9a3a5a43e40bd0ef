"""`stemtune demo`: a page on this machine that shows a clip to several models at once."""

import argparse
import os
import socket
from typing import TYPE_CHECKING, Any

from stemtune.commands import arguments
from stemtune.core.errors import InputError

if TYPE_CHECKING:
    from stemtune.commands.models import Model

DESCRIPTION = """\
Serves a page on 127.0.0.1. Drop a clip on it to see its frames, and each model's answer and time.
Models: the baseline, the best stem on validation, and each file in exports/. Each always answers
with one of its classes. Run it in the project. Ctrl-C ends it.
"""
EPILOG = """\
examples:
  stemtune demo
  STEMTUNE_CLIP_MIB=500 stemtune demo --port 8000

Only this machine can open the page, and it opens only files that are dropped on it.
The variables that limit a served model (docs/deploy.md) limit clips here as well.

exit codes:
  2    there is no model yet, or the port is taken
  130  Ctrl-C
"""
HOST, PORT = "127.0.0.1", 5002


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Describes the subcommand."""
    parser = commands.add_parser(
        "demo",
        help="serve a page that classifies a clip with each model",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--port",
        type=arguments.whole(0, 65535),
        metavar="N",
        default=PORT,
        help="where the page is (0: a free one; default: %(default)s)",
    )
    parser.set_defaults(run=run, name=parser.prog)


def run(options: argparse.Namespace) -> int:
    """Serves the page until it is ended.

    Raises:
        InputError: A model is missing, the port is taken, or a variable is not as it has to be.
    """
    import uvicorn

    from stemtune.commands import demo_page
    from stemtune.commands.side_by_side import SideBySide
    from stemtune.serving import requested_clips

    settings = requested_clips.settings_from(os.environ)
    try:
        listener = socket.create_server((HOST, options.port))
    except OSError as error:
        raise InputError(
            f"port {options.port} of {HOST} cannot be listened on ({error.strerror}); name another "
            "one with --port"
        ) from None
    with listener:
        models = SideBySide(_models(), settings.limits)
        application = demo_page.application(models, settings.clip_mib)
        print(f"{options.name}: http://{HOST}:{listener.getsockname()[1]}", flush=True)
        server = uvicorn.Server(uvicorn.Config(application, log_level="warning", lifespan="off"))
        server.run(sockets=[listener])
    return 0


def _models() -> dict[str, "Model"]:
    """Returns what the page compares, by the names that it shows.

    Raises:
        InputError: One is missing.
    """
    from stemtune.commands import models
    from stemtune.core import litter, typed_json
    from stemtune.core.paths import BASELINE, EXPORTS, METRICS, STEMS
    from stemtune.evaluation import comparison
    from stemtune.serving import litert

    compared = typed_json.read(METRICS, comparison.Comparison)
    stem = compared.best_stem()
    places = {"baseline": BASELINE, f"stem, {stem}": STEMS / stem}
    places |= {path.stem: path for path in litter.visible(EXPORTS, f"*{litert.SUFFIX}")}
    return {name: models.load(str(place)) for name, place in places.items()}
