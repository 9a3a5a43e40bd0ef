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
        scale = math.log if rates.sampling == "log" else float
        low, high, at = map(scale, (rates.min, rates.max, best))
        share = (at - low) / (high - low)
        lies = f"the best learning rate, {best:.3g}, lies at the"
        if share >= 1 - END:
            return f"{lies} upper end of its range, {rates.max:g}; raise {setting}.max"
        if share <= END:
            return f"{lies} lower end of its range, {rates.min:g}; lower {setting}.min"
    elif len(rates) >= FEWEST and best in (max(rates), min(rates)):
        end, more = ("largest", "larger") if best == max(rates) else ("smallest", "smaller")
        return f"{best:g} is the {end} learning rate tried; add a {more} one to {setting}"
    return ""
