"""What a change may cost before it is refused: block ci of params.yaml against the numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stemtune import comparison
from stemtune.params import Ci

# Accuracies are ratios of whole numbers: a drop of exactly the allowed size must pass.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Gate:
    """A limit and what was found.

    Attributes:
        name: What is limited.
        found: In words.
        allowed: In words.
        holds: None where there is nothing to judge by, which `found` then says.
    """

    name: str
    found: str
    allowed: str
    holds: bool | None


def check(
    limits: Ci,
    now: dict[str, Any],
    base: dict[str, Any] | None,
    quarantined: int,
) -> list[Gate]:
    """Returns the gates that params.yaml sets, judged.

    Args:
        limits: Block ci of params.yaml; what is null there is no gate.
        now: Content of metrics/evaluate.json.
        base: The same at the base; None where it has none.
        quarantined: How many clips are left out.
    """
    gates = []
    then = {row["name"]: row for row in comparison.rows(base)} if base else {}
    for row in comparison.rows(now):
        allowed = getattr(limits.max_accuracy_drop, row["paper_name"])
        if allowed is not None:
            gates.append(_drop(row, then.get(row["name"]), allowed))
    if limits.max_stem_gap is not None:
        best = max(entry["test_accuracy"] for entry in now["stem"].values())
        gap = now["baseline"]["test_accuracy"] - best
        gates.append(
            Gate(
                "the best stem's test accuracy below the baseline's",
                f"{100 * gap:.2f} points",
                f"{100 * limits.max_stem_gap:g} points",
                gap <= limits.max_stem_gap + TOLERANCE,
            )
        )
    if limits.max_quarantined is not None:
        gates.append(
            Gate(
                "clips in quarantine",
                str(quarantined),
                str(limits.max_quarantined),
                quarantined <= limits.max_quarantined,
            )
        )
    return gates


def _drop(now: Mapping[str, Any], base: Mapping[str, Any] | None, allowed: float) -> Gate:
    name, limit = f"drop of test accuracy, {now['model']}", f"{100 * allowed:g} points"
    if base is None:
        return Gate(name, "nothing to compare with", limit, None)
    drop = base["test_accuracy"] - now["test_accuracy"]
    found = f"{100 * drop:.2f} points" if drop > 0 else "none"
    return Gate(name, found, limit, drop <= allowed + TOLERANCE)
