"""Settings of how a run is judged, shown and repeated: evaluate, export, track, runtime and ci."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from stemtune.core.settings.block import MIN_SIDE, Block, Count, Drop, distinct

# Of the full side: where else plain resizing is looked at.
RESIZE_SHARES = (1 / 4, 3 / 8, 5 / 8, 3 / 4)


class Evaluate(Block):
    """How models are compared.

    Attributes:
        bootstrap_samples: How often groups are drawn for bounds.
        acceptable_loss: The accuracy that a cheaper model may lose and still be recommended.
        resize_sides: Where else plain resizing is looked at, px; None: `RESIZE_SHARES`.
    """

    bootstrap_samples: Annotated[int, Field(ge=100)]
    acceptable_loss: Drop
    resize_sides: (
        Annotated[
            list[Annotated[int, Field(ge=MIN_SIDE)]],
            Field(min_length=1),
            AfterValidator(distinct),
        ]
        | None
    )


class Export(Block):
    """What is made for devices.

    Attributes:
        models: What becomes LiteRT files; "retrained": the new head for the smallest frames;
            "stem": the variant that is best on validation.
        calibration_frames: How many training frames int8 is laid out for.
    """

    models: Annotated[list[Literal["baseline", "retrained", "stem"]], AfterValidator(distinct)]
    calibration_frames: Count


class Runtime(Block):
    # Keras Tuner takes 0 for "draw a seed".
    seed: Count
    threads: Count


class AccuracyDrop(Block):
    """Of test accuracy that each model may lose against the base; null: any."""

    baseline: Drop | None
    resize: Drop | None
    retrained: Drop | None
    stem: Drop | None


class Ci(Block):
    """Gates that `make ci` judges a change by; no stage depends on them."""

    max_accuracy_drop: AccuracyDrop
    max_stem_gap: Drop | None
    max_export_drop: Drop | None
    max_quarantined: Annotated[int, Field(ge=0)] | None


class Track(Block):
    """How MLflow is told of pipeline runs.

    Attributes:
        enabled: Whether it is.
        timeout_seconds: Past which publishing is left to the next run.
    """

    enabled: bool
    timeout_seconds: Annotated[float, Field(gt=0)]
