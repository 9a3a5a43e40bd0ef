"""Settings of how a run is compared, exported and repeated: compare, export and runtime."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from stemtune.core.settings.block import MIN_SIDE, Block, Count, Drop, Name, distinct


class Compare(Block):
    """Which candidates are compared, and how one of them is recommended.

    Attributes:
        sides: Frame sizes, px, for which a new head is trained. The full and the small one are
            always included: see `Params.sides`.
        backbones: Others than block embed_frames has, each by itself, at all sides.
        acceptable_loss: The clip accuracy that a cheaper candidate may lose and still be chosen.
        min_groups: If validation or test has fewer groups of clips, there is no verdict.
        bootstrap_samples: How often groups are drawn for confidence intervals.
    """

    sides: Annotated[list[Annotated[int, Field(ge=MIN_SIDE)]], AfterValidator(distinct)]
    backbones: Annotated[list[Name], AfterValidator(distinct)]
    acceptable_loss: Drop
    min_groups: Annotated[int, Field(ge=2)]
    bootstrap_samples: Annotated[int, Field(ge=100)]


class Export(Block):
    """What is made for devices.

    Attributes:
        models: What becomes LiteRT files and has a price: the baseline, the heads of all sides, all
            variants of the stem. What is no file cannot be recommended.
        calibration_frames: How many training frames calibrate int8.
    """

    models: Annotated[list[Literal["baseline", "retrained", "stem"]], AfterValidator(distinct)]
    calibration_frames: Count


class Runtime(Block):
    # Keras Tuner takes 0 for "draw a seed".
    seed: Count
    threads: Count
