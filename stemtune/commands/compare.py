"""`stemtune compare`: prints the table that the last pipeline run ended with."""

import argparse
from typing import Any

DESCRIPTION = "Prints the closing table of the last pipeline run again. Run it in the project."
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
        help="print the table of the last pipeline run",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, name=parser.prog)


def run(options: argparse.Namespace) -> int:
    """Prints the table, and returns the exit code.

    Raises:
        InputError: params.yaml is not accepted, or the run is not whole.
    """
    from stemtune.core import params, records, typed_json
    from stemtune.core.paths import EXPORT_METRICS, METRICS, RECOMMENDATION
    from stemtune.evaluation import advice, comparison
    from stemtune.export.exports import Exports
    from stemtune.tracking import dvc_lock, summary

    settings = params.load()
    recorded = [records.read(records.path_of(name)) for name in dvc_lock.stages(settings)]
    compared = typed_json.read(METRICS, comparison.Comparison)
    exported = typed_json.read(EXPORT_METRICS, Exports)
    advised = advice.read(RECOMMENDATION)
    rows = comparison.rows(compared)
    print(summary.closing(rows, recorded, exported, advised))
    return 0
