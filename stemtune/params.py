"""The settings in params.yaml: one block per stage, checked before any work is done."""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from stemtune import sides
from stemtune.errors import InputError

Item = TypeVar("Item")

# The least that a backbone takes.
MIN_SIDE = 32
# Enough for each of the backbones.
LARGEST_MIN_SIDE = 75
# Of the full side: where else plain resizing is looked at.
RESIZE_SHARES = (1 / 4, 3 / 8, 5 / 8, 3 / 4)
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
FileName = Annotated[str, Field(pattern=r"^[^/.][^/]*$")]
Share = Annotated[float, Field(gt=0, lt=1)]
Loss = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class ParamsError(InputError):
    """params.yaml holds something that the pipeline does not accept."""


def _distinct(items: list[Item]) -> list[Item]:
    if len(set(items)) != len(items):
        raise ValueError(f"must not repeat a value; got {items}")
    return items


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SplitLists(_Block):
    """Files of an official split below data/, such as UCF101's; validation is dealt from train."""

    train: FileName
    test: FileName


class Split(_Block):
    """How frames are dealt to train, validation and test; train takes the rest."""

    by: Literal["group", "clip", "frame"]
    lists: SplitLists | None
    validation: Share
    test: Share
    seed: int

    @model_validator(mode="after")
    def _leaves_some_for_training(self) -> "Split":
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation + test must stay below 1; got {self.validation} + {self.test}"
            )
        if self.lists and self.by == "frame":
            raise ValueError("lists deal whole clips: set by to group or clip, or lists to null")
        return self


class Limits(_Block):
    """What one clip may take; past it the clip is quarantined.

    Attributes:
        seconds: For decoding it.
        pixels: Of one frame, width times height.
        frames: In the clip, whether sampled or not.
        memory: In its worker process, MiB of address space.
    """

    seconds: Annotated[float, Field(gt=0)]
    pixels: Count
    frames: Count
    memory: Annotated[int, Field(ge=1024)]


class ExtractFrames(_Block):
    frames_per_clip: Count
    size: Annotated[int, Field(ge=MIN_SIDE, le=4096)]
    classes: Annotated[list[str], Field(min_length=2), AfterValidator(_distinct)] | None
    short_clips: Literal["repeat", "quarantine"]
    near_duplicates: Annotated[int, Field(ge=0, lt=32)] | None
    split: Split
    min_clips: Count
    max_quarantined: Annotated[float, Field(ge=0, lt=1)]
    limits: Limits


class WeightsFile(_Block):
    """A local weights file; the checksum makes DVC see that its content changed."""

    path: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class EmbedFrames(_Block):
    backbones: Annotated[list[Name], Field(min_length=1), AfterValidator(_distinct)]
    weights: dict[Name, Literal["random"] | WeightsFile]
    input_sizes: dict[Name, Annotated[int, Field(ge=LARGEST_MIN_SIDE, le=4096)]]

    @model_validator(mode="after")
    def _each_entry_belongs_to_a_backbone(self) -> "EmbedFrames":
        for setting, names in (("weights", self.weights), ("input_sizes", self.input_sizes)):
            if unused := set(names) - set(self.backbones):
                raise ValueError(
                    f"{setting} are given for {sorted(unused)}, which backbones "
                    f"{self.backbones} lacks"
                )
        return self


class RateRange(_Block):
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
    Annotated[list[Rate], Field(min_length=1), AfterValidator(_distinct), Tag("(list)")]
    | Annotated[RateRange, Tag("(range)")],
    Discriminator(_form),
]


class TuneLr(_Block):
    tuner: Literal["bayesian", "random", "hyperband", "grid"]
    learning_rates: Rates
    max_trials: Count | None
    hyperband_factor: Annotated[int, Field(ge=2)]
    seeds: Annotated[list[Count], Field(min_length=1), AfterValidator(_distinct)]
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


class Head(_Block):
    """What stands between features and classes, and which features it is trained on."""

    units: Count | None
    dropout: Annotated[float, Field(ge=0, lt=1)]
    augmentation: Literal["none", "flip"]
    cached_features: bool

    @model_validator(mode="after")
    def _augments_no_cache(self) -> "Head":
        if self.augmentation != "none" and self.cached_features:
            raise ValueError(
                f"augmentation {self.augmentation} draws frames anew in every epoch, and "
                "cached_features come from the frames as they are; set cached_features: false, "
                "which runs the backbone in every epoch of every trial, or augmentation: none"
            )
        return self


class TrainBest(_Block):
    trained_at: Literal["full", "small"]
    epochs: Count
    batch_size: Count
    head: Head


class Variant(_Block):
    """What sets one stem apart: where it starts, what it is trained for, and how."""

    start: Literal["random", "filter"]
    objective: Literal["labels", "probabilities"]
    learning_rates: Annotated[list[Rate], Field(min_length=1), AfterValidator(_distinct)] | None
    epochs: Count | None


class AddStem(_Block):
    input_size: Literal["2x", "3x", "4x"]
    variants: Annotated[dict[Name, Variant], Field(min_length=1)]
    epochs: Count
    batch_size: Count
    learning_rate: Rate | None

    @property
    def stride(self) -> int:
        """By how much the stem divides the side of frames."""
        return sides.STRIDES[self.input_size]


class Evaluate(_Block):
    bootstrap_samples: Annotated[int, Field(ge=100)]
    resize_sides: (
        Annotated[
            list[Annotated[int, Field(ge=MIN_SIDE)]],
            Field(min_length=1),
            AfterValidator(_distinct),
        ]
        | None
    )


class Runtime(_Block):
    # Keras Tuner takes 0 for "draw a seed".
    seed: Count
    threads: Count


class AccuracyDrop(_Block):
    """Of test accuracy that each model may lose against the base; null: any."""

    baseline: Loss | None
    resize: Loss | None
    resize_retrained: Loss | None
    stem: Loss | None


class Ci(_Block):
    """Gates that `make ci` judges a change by; no stage depends on them."""

    max_accuracy_drop: AccuracyDrop
    max_stem_gap: Loss | None
    max_quarantined: Annotated[int, Field(ge=0)] | None


class Track(_Block):
    """How MLflow is told of pipeline runs.

    Attributes:
        enabled: Whether it is.
        seconds: Past which publishing is left to the next run.
    """

    enabled: bool
    seconds: Annotated[float, Field(gt=0)]


class Params(_Block):
    """All of params.yaml."""

    extract_frames: ExtractFrames
    embed_frames: EmbedFrames
    tune_lr: TuneLr
    train_best: TrainBest
    add_stem: AddStem
    evaluate: Evaluate
    track: Track
    runtime: Runtime
    ci: Ci

    @property
    def small_side(self) -> int:
        """Side of the frames that the stem hands on, px."""
        return sides.behind_stem(self.extract_frames.size, self.add_stem.stride)

    @property
    def trained_side(self) -> int:
        """Side of the frames that the baseline's head is trained on, px."""
        full = self.train_best.trained_at == "full"
        return self.extract_frames.size if full else self.small_side

    @model_validator(mode="after")
    def _resizing_makes_smaller(self) -> "Params":
        size = self.extract_frames.size
        if larger := [side for side in self.evaluate.resize_sides or [] if side > size]:
            raise ValueError(
                f"evaluate.resize_sides must not exceed extract_frames.size, {size}; got {larger}"
            )
        return self

    @model_validator(mode="after")
    def _frames_behind_the_stem_are_large_enough(self) -> "Params":
        size, input_size = self.extract_frames.size, self.add_stem.input_size
        least = sides.before_stem(MIN_SIDE, self.add_stem.stride)
        if size < least:
            raise ValueError(
                f"extract_frames.size: must be {least} or more with add_stem.input_size "
                f"{input_size}, so that the stem hands on {MIN_SIDE} px; got {size}"
            )
        return self


def load(path: Path = Path("params.yaml")) -> Params:
    """Reads and checks params.yaml.

    Raises:
        ParamsError: The file is missing, is not YAML, or has an unknown key, a missing key, a
            wrong type or an impossible value. The message names each key, the value seen and
            what is allowed.
    """
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(
            f"{path} is missing; run from the folder that holds dvc.yaml and params.yaml"
        ) from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not valid YAML: {error}") from error
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        lines = [_explain(detail) for detail in error.errors()]
        raise ParamsError("\n".join([f"{path} is not accepted:", *lines])) from None


def flat(name: str, block: BaseModel) -> dict[str, Any]:
    """Returns a block's settings by dotted name, such as `extract_frames.split.by`."""
    return _flat(name, block.model_dump())


def _flat(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {name: value}
    parts = [_flat(f"{name}.{key}", inner) for key, inner in value.items()]
    return {key: inner for part in parts for key, inner in part.items()}


def _explain(detail: Any) -> str:
    # The form that a value has, "(list)" or "(range)", is no key of the file.
    parts = [str(part) for part in detail["loc"] if not str(part).startswith("(")]
    key = ".".join(parts) or "the whole file"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "missing":
        return f"  {key}: is missing; every setting must be given"
    if detail["type"] == "extra_forbidden":
        return f"  {key}: unknown setting; check its spelling, or remove it"
    return f"  {key}: {message} (found {detail['input']!r})"
