"""Settings of the stages that train: tune_lr, train_best and add_stem."""

import re
from typing import Annotated, Any, Literal, NamedTuple

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


Rates = Annotated[
    Annotated[list[Rate], Field(min_length=1), AfterValidator(distinct), Tag("(list)")]
    | Annotated[RateRange, Tag("(range)")],
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
                f"augmentation {self.augmentation} draws frames anew in every epoch, and "
                "cached_features come from the frames as they are; set cached_features: false, "
                "which runs the backbone in every epoch of every trial, or augmentation: none"
            )
        return self


class TrainBest(Block):
    epochs: Count
    batch_size: Count
    head: Head


def _kind(rate: Any) -> str:
    return "(word)" if isinstance(rate, str) else "(number)"


# "tuned": the rate that tune_lr found.
RateOrTuned = Annotated[
    Annotated[Literal["tuned"], Tag("(word)")] | Annotated[Rate, Tag("(number)")],
    Discriminator(_kind),
]


def _free(name: str) -> str:
    if TAKEN.fullmatch(name):
        raise ValueError(
            f"{name} is the name of a model or picture that stems are compared with; give the "
            "variant another name (taken: baseline, stored, resize, retrained, and resize_112 and "
            "the like)"
        )
    return name


# Between the seeds of two restarts, so few runs with other seeds share one.
RESTARTS_APART = 100


class Attempt(NamedTuple):
    """A training of a stem, one of several of which the best is kept.

    Attributes:
        learning_rate: Adam's.
        restart: Which one, counted from 1; None: there is one alone.
    """

    learning_rate: float
    restart: int | None = None

    def __str__(self) -> str:
        return f"at {self.learning_rate:g}" + (f", restart {self.restart}" if self.restart else "")

    @property
    def params(self) -> dict[str, float]:
        """What sets it apart from the others, for its record."""
        return {name: value for name, value in self._asdict().items() if value is not None}

    def seed(self, first: int) -> int:
        """Returns the seed of its start and of its order of frames, `first` being restart 1's."""
        return first + RESTARTS_APART * ((self.restart or 1) - 1)


class Variant(Augmented):
    """What sets one stem apart: where it starts, what it is trained for, and how.

    Attributes:
        head: What stands behind it: a frozen head, that of frames as small as the stem makes them
            (frozen_small) or the baseline's (frozen_full); a new head, trained on the output of the
            trained stem (retrained); or a head that is trained along with it (joint).
        kernels: Sides of the stem's first kernel and of its second, px.
        padding: Whether the stem loses a border of the frame to its convolutions (valid), as the
            paper's does, or pads the frame with zeros first, so that it hands on all of it (same).
        objective: What is learned: the labels; the probabilities that the baseline gives, at
            temperature 1 (distillation); or both, half and half, those softened.
        augmentation: Whether each frame, in each epoch, is shown as it is, or in one of its views
            that is drawn at random: it or its mirror image (flip), or those, moved (shift).
        decay: Whether the learning rate stays (none) or falls to 0 along a cosine.
        clipnorm: The largest norm that a variable's gradient may have; None: any.
        keep_epoch: Whether the stem is the one after the last epoch, or that of the epoch which
            validates best, its start included.
        learning_rates: Adam's. Of several, Keras Tuner tries each; the one whose restarts have the
            highest mean validation accuracy is chosen, and its best restart is kept.
        restarts: How often it is trained at each rate, each time with an order of frames of its
            own, and with a start of its own if that is random.
    """

    start: Literal["random", "average"]
    kernels: Annotated[
        list[Literal[3, 7]], Field(min_length=2, max_length=2), AfterValidator(distinct)
    ]
    padding: Literal["valid", "same"]
    objective: Literal["labels", "distillation", "both"]
    head: Literal["frozen_small", "frozen_full", "retrained", "joint"]
    decay: Literal["none", "cosine"]
    clipnorm: Annotated[float, Field(gt=0)] | None
    keep_epoch: Literal["last", "best"]
    learning_rates: Annotated[list[RateOrTuned], Field(min_length=1), AfterValidator(distinct)]
    restarts: Count
    epochs: Count | None

    def attempts(self, tuned: float) -> list[Attempt]:
        """Returns the trainings to choose from, `tuned` being the rate that tune_lr found."""
        rates = dict.fromkeys(tuned if rate == "tuned" else rate for rate in self.learning_rates)
        restarts = range(1, self.restarts + 1) if self.restarts > 1 else [None]
        return [Attempt(rate, restart) for rate in rates for restart in restarts]

    @property
    def is_frozen(self) -> bool:
        """Whether the head behind it stays as it is."""
        return self.head.startswith("frozen")

    @property
    def starts_as_resize(self) -> bool:
        """Whether its output equals resized frames before it is trained."""
        return self.start == "average" and self.padding == "same"

    @property
    def as_in_paper(self) -> bool:
        """Whether it starts and learns as the paper's stem does."""
        built = (self.start, self.kernels, self.padding)
        learns = (self.objective, self.is_frozen, self.augmentation)
        trained = (self.decay, self.clipnorm, self.keep_epoch)
        paper = ("random", [7, 3], "valid", "labels", True, "none", "none", None, "last")
        return (*built, *learns, *trained) == paper


class RetrainedHead(Augmented):
    """How a head is trained anew on smaller frames, behind a stem or without one.

    Attributes:
        learning_rates: Adam's, each tried once; the one that validates best is kept.
        epochs: The most that it is trained for; the epoch that validates best is kept.
        augmentation: Whether it learns from each frame and from its mirror image (flip), and from
            both, moved (shift).
    """

    learning_rates: Annotated[list[Rate], Field(min_length=1), AfterValidator(distinct)]
    epochs: Count


class AddStem(Block):
    """How stems are trained, and the heads that are trained anew on smaller frames.

    Attributes:
        downscale: What a stem divides the side of frames by.
        retrained_head: How every head is searched that is trained anew.
    """

    downscale: Literal[2, 3, 4]
    variants: Annotated[dict[Annotated[Name, AfterValidator(_free)], Variant], Field(min_length=1)]
    epochs: Count
    batch_size: Count
    retrained_head: RetrainedHead

    @property
    def as_in_paper(self) -> list[str]:
        """The variants that the paper's number may stand beside."""
        return [name for name, variant in self.variants.items() if variant.as_in_paper]
