"""`stemtune recommend`: which candidate to run, under other limits or with a device's times."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stemtune.commands import arguments

DESCRIPTION = "Recommends a candidate again, under other limits or with another device's times."
EPILOG = """\
examples:
  stemtune recommend
  stemtune recommend --max-loss 0.02
  stemtune recommend --budget-ms 3
  stemtune recommend --latency pi.json

Run it in the project, after `dvc repro`. pi.json has what `stemtune time --json exports/*.tflite`
printed on a device; files that it lacks are no candidates.

With --budget-ms it is the most accurate candidate within the budget that is acceptable, without it
the cheapest one.

exit codes:
  0  printed, whatever the verdict
  2  there is no whole run yet, or no price; the message says what is missing
"""


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Describes the subcommand."""
    parser = commands.add_parser(
        "recommend",
        help="recommend a candidate under other limits or times",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--max-loss",
        type=_between(0, 1, "a share of clips from 0 to 1, such as 0.02"),
        metavar="SHARE",
        help="clip accuracy that may be lost (default: compare.acceptable_loss of params.yaml)",
    )
    parser.add_argument(
        "--budget-ms",
        type=_between(1e-6, float("inf"), "milliseconds above 0, such as 3"),
        metavar="MS",
        help="milliseconds that a clip may take on average (default: any)",
    )
    parser.add_argument(
        "--latency",
        type=Path,
        metavar="FILE",
        help="times of another device (default: metrics/latency.json)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print JSON, as metrics/recommendation.json"
    )
    parser.set_defaults(run=run, name=parser.prog)


def run(options: argparse.Namespace) -> int:
    """Prints the recommendation, and returns the exit code.

    Raises:
        InputError: params.yaml is not accepted, the run is not whole, or nothing has a price.
    """
    from stemtune.core import params, printable
    from stemtune.core.errors import InputError, Missing
    from stemtune.core.paths import EXPORTS, LATENCY
    from stemtune.evaluation import recommending
    from stemtune.evaluation.offers import CASCADE

    settings = params.load()
    latency = options.latency or LATENCY
    choice = recommending.read(settings, latency)
    limits = settings.compare
    loss = limits.acceptable_loss if options.max_loss is None else options.max_loss
    found = choice.recommend(loss, limits.min_groups, options.budget_ms)
    if found is None:
        raise InputError(
            f"{latency} has no price of a full-size model, to compare with; it needs "
            "baseline_float32.tflite or the retrained one of the full side"
        )
    if options.json:
        print(json.dumps(found.model_dump(), indent=2))
        return 0
    print(printable.message(found.sentence))
    if found.recommended is None and options.budget_ms is not None:
        dearer = choice.recommend(loss, limits.min_groups)
        if dearer and dearer.recommended:
            print(printable.message(f"Without a budget: {dearer.sentence}"))
    for offer in choice.offers:
        if offer.name == found.recommended:
            frames = "" if offer.kind == CASCADE else f" --frames {offer.frames}"
            path = EXPORTS / offer.file
            if not path.exists():
                raise Missing(path)
            model = printable.name(str(path))
            print(f"Run: {arguments.program()} classify --model {model}{frames} CLIP")
    for warning in found.warnings:
        print(printable.message(warning))
    return 0


def _between(above: float, most: float, expected: str) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not above <= value <= most or value == float("inf"):
            raise argparse.ArgumentTypeError(f"{expected} is expected, not {text[:40]!r}")
        return value

    return number
