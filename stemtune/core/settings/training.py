"""Settings of the stages that train: tune_lr, train_best and add_stem."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from stemtune.core import views
from stemtune.core.settings.block import Block, Count, Name, Rate, distinct

# Models and pictures that stand beside the stems: a variant of the name would take their place.
TAKEN = re.compile(r"baseline|stored|(resize|retrained)(_([a-z0-9_]+_)?\d+)?")


class RateRange(Block):
    """All learning rates from min to max; "log": each power of ten is drawn as often."""

    min: Rate
    max: Rate
    sampling: Literal["log", "linear"]

    @model_validator(mode="after")
    def _is_in_order(self) -> "RateRange":
        if self.min >= self.max:
            raise ValueError(f"min must be below max; got {self.min} and {self.max}")
        return self


def _form(rates: Any) -> str:
    return "(range)" if isinstance(rates, dict | RateRange) else "(list)"


RateList = Annotated[list[Rate], Field(min_length=1), AfterValidator(distinct)]
Rates = Annotated[
    Annotated[RateList, Tag("(list)")] | Annotated[RateRange, Tag("(range)")],
    Discriminator(_form),
]


class TuneLr(Block):
    tuner: Literal["bayesian", "random", "hyperband", "grid"]
    learning_rates: Rates
    max_trials: Count | None
    hyperband_factor: Annotated[int, Field(ge=2)]
    seeds: Annotated[list[Count], Field(min_length=1), AfterValidator(distinct)]
    epochs: Count
    batch_size: Count

    @model_validator(mode="after")
    def _tuner_suits_the_rates(self) -> "TuneLr":
        is_range = isinstance(self.learning_rates, RateRange)
        if self.tuner == "grid" and is_range:
            raise ValueError(
                "tuner grid tries every rate and needs a list of learning_rates; "
                "bayesian, random and hyperband take a range"
            )
        if self.tuner == "hyperband":
            if self.max_trials is not None:
                raise ValueError(
                    "max_trials must be null with tuner hyperband, whose brackets follow from "
                    f"epochs and hyperband_factor; got {self.max_trials}"
                )
            if self.epochs < self.hyperband_factor:
                raise ValueError(
                    "tuner hyperband needs epochs of at least hyperband_factor, or no trial "
                    f"could be stopped early; got {self.epochs} and {self.hyperband_factor}"
                )
        elif is_range and self.max_trials is None:
            raise ValueError(
                f"max_trials must be a whole number from 1 on when tuner {self.tuner} searches a "
                "range of learning_rates"
            )
        elif not is_range and self.max_trials is not None:
            raise ValueError(
                "max_trials must be null with a list of learning_rates, each of which is tried "
                f"once; got {self.max_trials}"
            )
        return self


class Augmented(Block):
    """What is trained on frames as they are, mirrored too (flip), or moved as well (shift)."""

    augmentation: Literal["none", "flip", "shift"]

    @property
    def views(self) -> int:
        """How many `views` of a frame it is trained on."""
        return views.NUMBERS[self.augmentation]


class Head(Augmented):
    """What stands between features and classes, and which features it is trained on."""

    units: Count | None
    dropout: Annotated[float, Field(ge=0, lt=1)]
    cached_features: bool

    @model_validator(mode="after")
    def _augments_no_cache(self) -> "Head":
        if self.views > 1 and self.cached_features:
            raise ValueError(
                f"augmentation {self.augmentation} draws other frames in every epoch, and "
                "cached_features come from the frames as they are; set cached_features: false, "
                "which runs the backbone in every epoch of every trial, or augmentation: none"
            )
        return self


class TrainBest(Block):
    epochs: Count
    batch_size: Count
    head: Head


def _free(name: str) -> str:
    if TAKEN.fullmatch(name):
        raise ValueError(
            f"{name} is the name of a model or picture that stems are compared with; give the "
            "variant another name (taken: baseline, stored, resize, retrained, and resize_112 and "
            "the like)"
        )
    return name


class Variant(Block):
    """What stands behind a stem.

    Attributes:
        head: A frozen head: that of frames as small as the stem makes them (frozen_small), or the
            baseline's (frozen_full).
    """

    head: Literal["frozen_small", "frozen_full"]


class RetrainedHead(Augmented):
    """How a new head is trained for frames of each size.

    Attributes:
        learning_rates: Adam's, each tried once; the best on validation is kept.
        epochs: The most that it is trained for; the best epoch on validation is kept.
        augmentation: Whether it learns from each frame and from its mirror image (flip), and from
            both, moved (shift).
    """

    learning_rates: RateList
    epochs: Count


class AddStem(Block):
    """How stems are trained, and new heads on smaller frames.

    Attributes:
        downscale: What a stem divides the frame size by.
        learning_rates: Adam's, each tried once; the one with the highest validation accuracy is
            kept.
        retrained_head: The search for every new head.
    """

    downscale: Literal[2, 3, 4]
    variants: Annotated[dict[Annotated[Name, AfterValidator(_free)], Variant], Field(min_length=1)]
    learning_rates: RateList
    epochs: Count
    batch_size: Count
    retrained_head: RetrainedHead
