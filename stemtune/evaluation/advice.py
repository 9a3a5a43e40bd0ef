"""metrics/recommendation.json: its content, and the sentence that it makes."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, RootModel, model_validator

from stemtune.core import files, typed_json
from stemtune.core.settings.block import Count, Drop

CONFIRMED: Literal["confirmed"] = "confirmed"
NOT_CONFIRMED: Literal["not confirmed"] = "not confirmed"
TOO_FEW: Literal["too few groups"] = "too few groups"


class _Content(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Difference(_Content):
    """Clip accuracy of a candidate less that of the reference, with its 95% confidence interval.

    Attributes:
        difference: In [-1, 1].
        low: Lower end.
        high: Upper end.
        split: Whose clips they are.
        clips: How many.
        groups: How many groups they are of.
    """

    difference: float
    low: float
    high: float
    split: str
    clips: Count
    groups: Count


class Cost(_Content):
    """Milliseconds a clip: mean, worst case, and the mean as a share of the reference's."""

    milliseconds: float
    worst_milliseconds: float
    share: float


class Recommendation(_Content):
    """The content of metrics/recommendation.json.

    Attributes:
        candidate: The one that test confirms, or else the one chosen on validation; None: none is
            acceptable there, or too few groups.
        verdict: Whether test confirms that it loses less than `max_loss`.
        reference: The full-size model that is best on validation.
        contender: The candidate that `difference` and `cost` are about: the one chosen, or else
            the one that came closest to it; None: no candidate is cheaper.
        difference: On test; on validation if none was chosen there or its groups are too few.
        cost: Of the contender.
        reference_cost: Of the reference.
        front: Names on the Pareto front of price and clip accuracy on test.
        max_loss: The accuracy that might be lost.
        budget_ms: The milliseconds that might be spent; None: any.
        min_groups: With fewer there is no verdict.
        groups: How many groups of clips there are, by split.
        more_groups: Estimate of how many more groups of that split would settle it; None: it is
            settled, or the difference is so close to the limit that no estimate makes sense.
        warnings: For people.
    """

    candidate: str | None = None
    verdict: Literal["confirmed", "not confirmed", "too few groups"]
    reference: str
    contender: str | None = None
    difference: Difference | None = None
    cost: Cost | None = None
    reference_cost: Cost
    front: list[str]
    max_loss: Drop
    budget_ms: float | None = None
    min_groups: Count
    groups: dict[str, Count] = {}
    more_groups: Count | None = None
    warnings: list[str]

    @property
    def recommended(self) -> str | None:
        """What to run: the candidate if test confirms it, or the reference.

        None: it is not known, or the reference takes more than the budget.
        """
        if self.verdict == TOO_FEW:
            return None
        if self.verdict == CONFIRMED:
            return self.candidate
        return self.reference if self._is_affordable else None

    @property
    def _is_affordable(self) -> bool:
        return self.budget_ms is None or self.reference_cost.milliseconds <= self.budget_ms

    @property
    def price_share(self) -> float:
        """Price of what to run, as a share of the reference's."""
        return self.cost.share if self.cost and self.verdict == CONFIRMED else 1.0

    def _too_few(self) -> str:
        """Returns which splits have too few groups, and about how many more it takes in each."""
        short = {
            split: count for split, count in sorted(self.groups.items()) if count < self.min_groups
        }
        more = {split: self.min_groups - count for split, count in short.items()}
        if self.more_groups is not None and self.difference is not None:
            more[self.difference.split] = self.more_groups
        has = " and ".join(f"{count} {split} groups" for split, count in short.items())
        takes = " and ".join(
            f"{count} more {split} groups" for split, count in sorted(more.items())
        )
        return (
            f"{has} are too few for a verdict, which needs {self.min_groups} of each. It takes "
            f"about {takes}."
        )

    @property
    def sentence(self) -> str:
        """It in words, as a caption."""
        keep = f"Keep {self.reference} at {self.reference_cost.milliseconds:.3g} ms per clip"
        cheaper = "cheaper candidate"
        if not self._is_affordable:
            keep = f"Nothing to recommend within the budget of {self.budget_ms:g} ms per clip"
            cheaper = "candidate within it"
        if self.contender is None or self.difference is None or self.cost is None:
            return f"{keep}: there is no {cheaper}."
        found, limit = self.difference, f"{_points(-self.max_loss)} points"
        worst = ""
        if self.cost.worst_milliseconds > 1.05 * self.cost.milliseconds:
            worst = f", at worst {self.cost.worst_milliseconds:.3g} ms"
        priced = (
            f"{self.contender} at {self.cost.milliseconds:.3g} ms per clip "
            f"({self.cost.share:.0%} of {self.reference}{worst})"
        )
        change = (
            f"{_points(found.difference)} points of clip accuracy "
            f"(95% CI {_points(found.low)} to {_points(found.high)})"
        )
        if self.verdict == TOO_FEW:
            change += f" on {found.clips} {found.split} clips"
            return f"No recommendation: {self._too_few()} So far it would be {priced}: {change}."
        more = ""
        if self.more_groups is not None:
            more = f" About {self.more_groups} more {found.split} groups would settle it."
        if self.candidate is None:
            return (
                f"{keep}: no {cheaper} has an interval on validation above {limit}. "
                f"The closest is {priced}: {change}.{more}"
            )
        if self.verdict == CONFIRMED:
            return f"Use {priced}: {change}, confirmed on test (limit {limit})."
        return (
            f"{keep}: test does not confirm {priced}, which was chosen on validation. "
            f"It has {change}; the limit is {limit}.{more}"
        )


class Stored(RootModel[Recommendation | None]):
    """The content of metrics/recommendation.json, which is {} if nothing has a price."""

    @model_validator(mode="before")
    @classmethod
    def _is_empty_without_prices(cls, content: Any) -> Any:
        return None if content == {} else content


# What stands for the sentence if there is no recommendation.
NOTHING_PRICED = (
    "No recommendation: params.yaml, export.models, makes no file of a full-size model, so there "
    "is no price to compare with."
)


def write(path: Path, found: Recommendation | None) -> None:
    """Writes metrics/recommendation.json: {} if nothing has a price."""
    files.write_json(path, found.model_dump() if found else {})


def read(path: Path) -> Recommendation | None:
    """Reads what `write` wrote; None: nothing has a price.

    Raises:
        Missing: The file is missing.
        InputError: It holds something else.
    """
    return typed_json.read(path, Stored).root


def sentence(found: Recommendation | None) -> str:
    """Returns the recommendation in words, whether there is one or not."""
    return found.sentence if found else NOTHING_PRICED


def _points(share: float) -> str:
    """Returns a signed difference in points, such as +1.2, with a real minus."""
    return f"{round(100 * share, 1) + 0.0:+.1f}".replace("-", "\N{MINUS SIGN}")
