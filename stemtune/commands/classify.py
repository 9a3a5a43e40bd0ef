"""`stemtune classify`: what a model says of clips, and of a long video as it goes on."""

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemtune.commands import arguments
from stemtune.core import printable

if TYPE_CHECKING:
    from stemtune.commands.models import Model
    from stemtune.media.sampling import Span
    from stemtune.media.sandbox import Sandbox

DESCRIPTION = "Tells the class of clips: the mean of the probabilities of some of their frames."
EPILOG = """\
examples:
  stemtune classify holiday.mp4 data/knit/*.mp4
  stemtune classify --model exports/retrained_224_int8.tflite holiday.mp4        starts fastest
  stemtune classify --model models:/stemtune@stem --json holiday.mp4 > answers.json
  stemtune classify --every 10 camera.mkv        what is seen in each 10 seconds
  find clips -name '*.mp4' | stemtune classify --jsonl - | head

A clip that cannot be read is named with the reason, and the others are classified. Frames are
sampled as extract_frames does. ms is the time to read and classify a clip, or a part of it.

exit codes:
  0  all clips are classified
  1  some could not be read
  2  none could be classified: none could be read, there is no such model, or the arguments
     are wrong
"""
# Frames that are decoded in one go where a long video is cut into parts: 150 MB of 224 px.
CHUNK = 1024
# Of one clip, or one go; the user can end the command as well.
SECONDS, FRAMES = 600, 10_000_000
# In place of a clip: names come from standard input.
STANDARD_INPUT = "-"
# A shorter rest behind the last whole part is a matter of rounding.
SHORTEST_REST = 1e-3


@dataclass(frozen=True)
class Answer:
    """What a model says of a clip, or of a part of it.

    Attributes:
        clip: As it was named.
        part: Where the part starts and ends, seconds; None: the whole clip.
        probabilities: By class.
        milliseconds: To decode and classify it.
    """

    clip: str
    part: "Span | None"
    probabilities: dict[str, float]
    milliseconds: float

    @property
    def best(self) -> str:
        return max(self.probabilities, key=self.probabilities.__getitem__)


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Describes the subcommand."""
    parser = commands.add_parser(
        "classify",
        help="tell the class of clips",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "clips",
        nargs="+",
        metavar="CLIP",
        help="a video or a picture; -: those whose names standard input has, one a line",
    )
    parser.add_argument(
        "--model",
        default="models/baseline",
        help="a folder such as models/stem/as_published, a LiteRT file of exports/, a "
        "cascade of two (.cascade.json), or models:/stemtune@stem "
        "(default: %(default)s)",
    )
    printed = parser.add_mutually_exclusive_group()
    printed.add_argument("--json", action="store_true", help="print JSON, with all probabilities")
    printed.add_argument(
        "--jsonl", action="store_true", help="print JSON Lines, each as soon as it is known"
    )
    parser.add_argument(
        "--frames",
        type=arguments.whole(1),
        metavar="N",
        help="how many frames of a clip, or of a part of it (default: as the model was trained)",
    )
    parser.add_argument(
        "--every",
        type=_seconds,
        metavar="SECONDS",
        help="classify each part of this length by itself",
    )
    parser.set_defaults(run=run, name=parser.prog)


def run(options: argparse.Namespace) -> int:
    """Prints the answers, and returns the exit code.

    Raises:
        InputError: There is no such model.
    """
    import numpy as np
    from tqdm import tqdm

    from stemtune.commands import models
    from stemtune.media import sampling
    from stemtune.media.sandbox import Sandbox

    limits = sampling.LIMITS.model_copy(update={"decode_seconds": SECONDS, "frames": FRAMES})
    answers: list[Answer] = []
    problems: dict[str, str] = {}
    # Decoders start while the model is loaded.
    with Sandbox(limits, decoders=1, at_once=True) as sandbox:
        model = models.load(options.model)
        count = options.frames or model.specification.frames_per_clip
        # The first call compiles the model, the second for any number of frames: no clip's time.
        for number in (count, count + 1):
            size = model.specification.size
            model.frames(np.zeros((number, size, size, 3), np.uint8))
        named = tqdm(_named(options.clips), "classifying", unit="clip", disable=None, leave=False)
        for clip in named:
            try:
                for answer in _answers(clip, model, sandbox, count, options.every):
                    answers.append(answer)
                    if options.jsonl:
                        _print_line(_as_row(answer))
            except sampling.DecodeError as error:
                problems[clip] = str(error)
                told = printable.message(f"{options.name}: {printable.name(clip)} {error}")
                tqdm.write(told, file=sys.stderr)
                if options.jsonl:
                    _print_line({"clip": clip, "error": str(error)})
    if options.json:
        rows = [*map(_as_row, answers), *({"clip": c, "error": e} for c, e in problems.items())]
        # ASCII alone: no name in it steers a terminal, and each is exact.
        print(json.dumps(rows, indent=2))
    elif answers and not options.jsonl:
        print(_as_table(answers))
        frames = f"{count} frame{'s' * (count > 1)}"
        told = f"{options.model} answered, from {frames} each time; ms include reading them"
        print(printable.message(told), file=sys.stderr)
    return 0 if not problems else 1 if answers else 2


def _named(clips: Sequence[str]) -> Iterator[str]:
    """Yields the names of clips, those of standard input as they come."""
    for clip in clips:
        if clip == STANDARD_INPUT:
            yield from (name for line in sys.stdin if (name := line.rstrip("\r\n")))
        else:
            yield clip


def _print_line(row: dict[str, Any]) -> None:
    # At once: a reader waits for it.
    print(json.dumps(row), flush=True)


def _answers(
    clip: str, model: "Model", sandbox: "Sandbox", count: int, every: float | None
) -> Iterator[Answer]:
    """Yields the answer for a clip, or for each part of it.

    Raises:
        DecodeError: It cannot be decoded.
    """
    from stemtune.commands import models
    from stemtune.media.sampling import Span

    path, side = _file(clip), model.specification.size
    spans = [] if every is None else _spans(sandbox.sample(path, 1, side).duration, every)
    # A picture has no parts.
    for several in _chunks(spans, max(1, CHUNK // count)) if spans else [[None]]:
        began = time.perf_counter()
        first, last = several[0], several[-1]
        whole = Span(first.start, last.end) if first and last else None
        sample = sandbox.sample(path, count * len(several), side, span=whole)
        found = models.of_clips(model, sample.frames, len(several))
        milliseconds = (time.perf_counter() - began) * 1000 / len(several)
        for span, row in zip(several, found.to_numpy(), strict=True):
            probabilities = dict(zip(found.columns, map(float, row), strict=True))
            yield Answer(clip, span, probabilities, milliseconds)


def _file(clip: str) -> Path:
    from stemtune.media.sampling import DecodeError

    path = Path(clip)
    if path.is_dir():
        raise DecodeError("is a folder; name the clips in it")
    if not path.is_file():
        raise DecodeError("does not exist" if not path.exists() else "is no file")
    return path


def _spans(duration: float, every: float) -> list["Span"]:
    """Returns the parts of a video, each of `every` seconds except the last; none of a picture."""
    from stemtune.media.sampling import Span

    whole = int(duration / every)
    spans = [Span(every * part, every * (part + 1)) for part in range(whole)]
    if duration - whole * every > SHORTEST_REST * every:
        spans.append(Span(whole * every, duration))
    return spans


def _chunks(spans: Sequence["Span"], most: int) -> Iterator[Sequence["Span"]]:
    """Yields neighbouring parts of equal length together, at most `most`."""
    start = 0
    for position in range(1, len(spans) + 1):
        if (
            position == len(spans)
            or position - start == most
            or not _are_equal(spans[start], spans[position])
        ):
            yield spans[start:position]
            start = position


def _are_equal(one: "Span", other: "Span") -> bool:
    return math.isclose(one.end - one.start, other.end - other.start, rel_tol=SHORTEST_REST)


def _as_row(answer: Answer) -> dict[str, Any]:
    part = answer.part and {"from": answer.part.start, "to": answer.part.end}
    return {
        "clip": answer.clip,
        **(part or {}),
        "class": answer.best,
        "probability": answer.probabilities[answer.best],
        "ms": round(answer.milliseconds, 3),
        "probabilities": answer.probabilities,
    }


def _as_table(answers: Sequence[Answer]) -> str:
    from tabulate import tabulate

    rows = []
    for answer in answers:
        part = answer.part and {"from": _clock(answer.part.start), "to": _clock(answer.part.end)}
        rows.append(
            {
                "clip": answer.clip,
                **(part or {}),
                "class": answer.best,
                "probability": f"{answer.probabilities[answer.best]:.3f}",
                "ms": f"{answer.milliseconds:.1f}",
            }
        )
    return tabulate(rows, headers="keys", tablefmt="simple", disable_numparse=True)


def _clock(seconds: float) -> str:
    """Returns a time of a video, such as 1:02:03.5."""
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    shown = f"{rest:04.1f}".removesuffix(".0")
    return f"{hours}:{minutes:02}:{shown}" if hours else f"{minutes}:{shown}"


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"seconds above 0 are expected, not {text!r}")
    return seconds
