"""Times two sides in turns and makes a row of what was seen."""

import resource
import statistics
import time
from collections.abc import Callable, Sequence
from typing import TypedDict

# Of these the ratio is a share, to be no more than the target; of the others, at least the target.
SHARES = {"one_clip", "growth"}


class Row(TypedDict):
    """One comparison.

    Attributes:
        name: `<subject>` or `<subject>/<case>`.
        ours, theirs: Medians over the runs.
        other: Their unit, and what "theirs" is.
        ratio: Of a share, ours over theirs; else how many times better ours is.
        spread: Largest less smallest ratio of one run, over `ratio`.
        target: See `SHARES`.
        met: Whether the ratio reaches the target.
        runs: How often each side was measured.
    """

    name: str
    ours: float
    theirs: float
    other: str
    ratio: float
    spread: float
    target: float
    met: bool | None
    runs: int


def in_turns(runs: int, *sides: Callable[[], float]) -> list[list[float]]:
    """Returns what each side measured, run by run; the sides take turns."""
    measured = [[side() for side in sides] for _ in range(runs)]
    return [list(values) for values in zip(*measured, strict=True)]


def seconds(work: Callable[[], object]) -> float:
    """Returns how long something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def processor_seconds(work: Callable[[], object]) -> float:
    """Returns how much processor time something takes, in threads and child processes too."""
    started = _spent()
    work()
    return _spent() - started


def _spent() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def of_times(
    name: str, ours: Sequence[float], theirs: Sequence[float], other: str, target: float
) -> Row:
    """Makes a row of times, or of anything else of which less is better."""
    if is_share(name):
        return _row(name, ours, theirs, other, target, lambda one, two: one / two)
    return _row(name, ours, theirs, other, target, lambda one, two: two / one)


def of_rates(
    name: str, ours: Sequence[float], theirs: Sequence[float], other: str, target: float
) -> Row:
    """Makes a row of which more is better."""
    return _row(name, ours, theirs, other, target, lambda one, two: one / two)


def is_share(name: str) -> bool:
    """Tells whether the ratio of a row is to be no more than the target."""
    return name.split("/")[0] in SHARES


def _row(
    name: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    other: str,
    target: float,
    divide: Callable[[float, float], float],
) -> Row:
    ratios = [divide(*pair) for pair in zip(ours, theirs, strict=True)]
    middle, other_middle = statistics.median(ours), statistics.median(theirs)
    ratio = divide(middle, other_middle)
    return {
        "name": name,
        "ours": middle,
        "theirs": other_middle,
        "other": other,
        "ratio": ratio,
        "spread": (max(ratios) - min(ratios)) / ratio,
        "target": target,
        "met": _reaches(name, ratio, target),
        "runs": len(ours),
    }


def _reaches(name: str, ratio: float, target: float) -> bool:
    return ratio <= target if is_share(name) else ratio >= target
