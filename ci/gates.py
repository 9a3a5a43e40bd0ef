"""What a change may cost before it is refused: block ci of params.yaml against the numbers."""

from dataclasses import dataclass

from stemtune.core.settings.apart import Ci
from stemtune.evaluation import comparison
from stemtune.evaluation.advice import Recommendation
from stemtune.evaluation.comparison import Comparison, Row
from stemtune.export.exports import Exports

# Accuracies are ratios of whole numbers: a drop of exactly the allowed size must pass.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Gate:
    """A limit and what was found.

    Attributes:
        name: What is limited.
        found: In words.
        allowed: In words.
        holds: None if there is nothing to judge by; `found` then says so.
    """

    name: str
    found: str
    allowed: str
    holds: bool | None


def check(
    limits: Ci,
    now: Comparison,
    base: Comparison | None,
    quarantined: int,
    exported: Exports,
    advised: Recommendation | None,
    advised_then: Recommendation | None,
) -> list[Gate]:
    """Returns the gates that params.yaml sets, judged.

    Args:
        limits: Block ci of params.yaml; what is null there is no gate.
        now: Content of metrics/evaluate.json.
        base: The same at the base; None if it has none.
        quarantined: How many clips are left out.
        exported: Content of metrics/export.json.
        advised: Content of metrics/recommendation.json.
        advised_then: The same at the base; None if it has none.
    """
    gates = []
    then = {row.name: row for row in comparison.rows(base)} if base else {}
    for row in comparison.rows(now):
        allowed = getattr(limits.max_accuracy_drop, row.kind)
        if allowed is not None:
            gates.append(_drop(row, then.get(row.name), allowed))
    if limits.max_stem_gap is not None:
        best = max(entry.test_accuracy for entry in now.stem.values())
        gap = now.baseline.test_accuracy - best
        gates.append(
            Gate(
                "the best stem's test accuracy below the baseline's",
                f"{100 * gap:.2f} points",
                _points(limits.max_stem_gap),
                gap <= limits.max_stem_gap + TOLERANCE,
            )
        )
    if limits.max_export_drop is not None:
        gates += [
            _limited(
                f"test accuracy of {name} below that of its Keras model",
                export.keras_accuracy - export.test_accuracy,
                limits.max_export_drop,
            )
            for name, export in exported.exports.items()
        ]
    if limits.max_price_rise is not None:
        gates.append(_price_rise(advised, advised_then, limits.max_price_rise))
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


def _price_rise(now: Recommendation | None, then: Recommendation | None, allowed: float) -> Gate:
    """Judges the price of what is recommended, as a share of the full-size model's.

    Milliseconds of two machines could not be compared.
    """
    name = "rise of the recommended candidate's price, as a share of the full-size model's"
    if then is None or then.recommended is None:
        return Gate(name, "nothing to compare with", _points(allowed), None)
    if now is None or now.recommended is None:
        return Gate(name, "nothing is recommended any more", _points(allowed), False)
    return _limited(name, now.price_share - then.price_share, allowed)


def _drop(now: Row, base: Row | None, allowed: float) -> Gate:
    name = f"drop of test accuracy, {now.model}"
    if base is None:
        return Gate(name, "nothing to compare with", _points(allowed), None)
    return _limited(name, base.test_accuracy - now.test_accuracy, allowed)


def _limited(name: str, drop: float, allowed: float) -> Gate:
    found = f"{100 * drop:.2f} points" if drop > 0 else "none"
    return Gate(name, found, _points(allowed), drop <= allowed + TOLERANCE)


def _points(share: float) -> str:
    return f"{100 * share:g} points"
