"""`stemtune compare`: prints what the last pipeline run ended with."""

import argparse
from typing import Any

DESCRIPTION = "Prints again what the last pipeline run ended with. Run it in the project."
EPILOG = """\
examples:
  stemtune compare

exit codes:
  0  printed
  2  there is no whole run yet; the message says what is missing
"""


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Describes the subcommand."""
    parser = commands.add_parser(
        "compare",
        help="print the candidates of the last pipeline run again",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, name=parser.prog)


def run(options: argparse.Namespace) -> int:
    """Prints them, and returns the exit code.

    Raises:
        InputError: params.yaml is not accepted, or the run is not whole.
    """
    from stemtune.core import params, records
    from stemtune.core.paths import RECOMMENDATION
    from stemtune.evaluation import advice, listed
    from stemtune.tracking import closing, dvc_lock

    settings = params.load()
    recorded = [records.read(records.path_of(name)) for name in dvc_lock.stages(settings)]
    print(closing.closing(listed.read(), recorded, advice.read(RECOMMENDATION)))
    return 0
