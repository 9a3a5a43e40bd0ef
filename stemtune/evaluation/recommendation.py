"""What to do with these clips: keep frames as they are, resize and retrain, or take a stem."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stemtune.evaluation.comparison import BASELINE, Comparison
from stemtune.evaluation.metrics import Difference


@dataclass(frozen=True)
class Recommendation:
    """What to do, and what it costs.

    Attributes:
        choice: Name of the model to take; the baseline's: keep frames as they are.
        alternative: The stem or the control that is the better use of operations.
        side: Of the frames that the baseline sees, px.
        stem: The stem that validates best.
        control: The control with a new head that validates best.
        lead: Of that stem over that control, in accuracy on test frames.
        gain: Of the alternative over the baseline.
        flops_share: The alternative's operations for a frame, as a share of the baseline's.
    """

    choice: str
    alternative: str
    side: int
    stem: str
    control: str
    lead: Difference
    gain: Difference
    flops_share: float

    def sentence(self, milliseconds: Mapping[str, float] | None = None) -> str:
        """Returns all of it in one sentence.

        Args:
            milliseconds: Measured time for a frame, by model; None: time is not told.
        """
        cost = f"{self.flops_share:.0%} of its operations"
        if milliseconds:
            cost += (
                f" and {milliseconds[self.alternative] / milliseconds[BASELINE]:.0%} of its time"
            )
        compared = (
            f"against the baseline on frames of {self.side} px it {_words(self.gain)}, at {cost}"
        )
        lead = f"{self.stem} {_words(self.lead)} against {self.control}"
        if self.choice == BASELINE:
            return (
                f"Keep frames as they are: the best alternative is {self.alternative}; {compared}."
            )
        if self.choice == self.stem:
            return f"Take the stem {self.stem}: {compared}; {lead}."
        less = "no stem is shown to be better"
        return f"Resize and retrain ({self.control}): {compared}; {less}: {lead}."


def recommend(
    compared: Comparison, compare: Callable[[str, str], Difference], acceptable_loss: float
) -> Recommendation:
    """Returns what to do with these clips.

    Stem and control are chosen on validation. The stem is preferred where the bounds of its lead
    over the control leave out zero. A model that takes fewer operations than the baseline is worth
    it unless it loses more than is acceptable; one that takes more is if its bounds show a gain.

    Args:
        compared: All models.
        compare: Compares two of them, by their names, on test frames, the first less the second.
        acceptable_loss: Of accuracy, in [0, 1].
    """
    stem, control = compared.best_stem(), compared.best_control()
    lead = compare(stem, control)
    alternative = stem if lead.low > 0 else control
    gain = compare(alternative, BASELINE)
    share = compared.models[alternative].flops_per_frame / compared.baseline.flops_per_frame
    worth_it = gain.difference >= -acceptable_loss if share <= 1 else gain.low > 0
    return Recommendation(
        choice=alternative if worth_it else BASELINE,
        alternative=alternative,
        side=compared.baseline.input_size,
        stem=stem,
        control=control,
        lead=lead,
        gain=gain,
        flops_share=share,
    )


def _words(found: Difference) -> str:
    """Returns a difference in points with its 95% bounds, such as "loses 1.2 (-0.4 to 2.9)"."""
    verb, sign = ("gains", 1) if found.difference >= 0 else ("loses", -1)
    low, high = sorted((sign * found.low, sign * found.high))
    return f"{verb} {100 * abs(found.difference):.1f} points ({100 * low:.1f} to {100 * high:.1f})"
