"""Settings that no stage depends on: gates of CI, and how runs are logged to MLflow."""

from typing import Annotated

from pydantic import Field

from stemtune.core.settings.block import Block, Drop


class AccuracyDrop(Block):
    """Of test accuracy that each model may lose against the base; null: any."""

    baseline: Drop | None
    resize: Drop | None
    retrained: Drop | None
    stem: Drop | None


class Ci(Block):
    """Gates that `make ci` judges a change by; no stage depends on them.

    Attributes:
        max_price_rise: Of the recommended candidate, as a share of the full-size model's price.
    """

    max_accuracy_drop: AccuracyDrop
    max_stem_gap: Drop | None
    max_export_drop: Drop | None
    max_price_rise: Drop | None
    max_quarantined: Annotated[int, Field(ge=0)] | None


class Track(Block):
    """How pipeline runs are logged to MLflow.

    Attributes:
        enabled: Whether they are.
        timeout_seconds: How long track waits, in all, until MLflow shows what is pending.
    """

    enabled: bool
    timeout_seconds: Annotated[float, Field(gt=0)]
