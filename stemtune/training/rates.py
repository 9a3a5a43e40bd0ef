"""What is to be said of a search for a learning rate that ended at an end of where it looked."""

import math
from collections.abc import Sequence

from stemtune.core.settings.training import RateRange

# Of one or two rates, the best always lies at an end.
FEWEST = 3
# Share of a range, on the scale by which rates are drawn from it, that counts as its end.
END = 0.1


def advice(rates: Sequence[float] | RateRange, best: float, setting: str) -> str:
    """Returns what to do where the best rate lies at an end; "" where it does not.

    Args:
        rates: That were tried, or the range that they were drawn from.
        best: The best of them.
        setting: Of params.yaml, that holds them, by its dotted name.
    """
    if isinstance(rates, RateRange):
        low, high, at = (_on_scale(rate, rates) for rate in (rates.min, rates.max, best))
        margin = END * (high - low)
        if at >= high - margin:
            return _of_range("upper", best, rates.max, "larger", f"raise {setting}.max")
        if at <= low + margin:
            return _of_range("lower", best, rates.min, "smaller", f"lower {setting}.min")
        return ""
    for end, word, more in ((max(rates), "largest", "larger"), (min(rates), "smallest", "smaller")):
        if best == end and len(rates) >= FEWEST:
            return (
                f"the best of the rates tried is the {word}, {best:g}; a {more} one may be better: "
                f"add it to {setting}"
            )
    return ""


def _on_scale(rate: float, rates: RateRange) -> float:
    return math.log(rate) if rates.sampling == "log" else rate


def _of_range(end: str, best: float, limit: float, more: str, remedy: str) -> str:
    return (
        f"the best of the rates tried, {best:.3g}, lies at the {end} end of its range, {limit:g}; "
        f"a {more} one may be better: {remedy}"
    )
