"""The settings in params.yaml: one block per stage, checked before any work is done."""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from stemtune import sides
from stemtune.errors import InputError

Item = TypeVar("Item")

# The least that a backbone takes.
MIN_SIDE = 32
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
FileName = Annotated[str, Field(pattern=r"^[^/.][^/]*$")]
Share = Annotated[float, Field(gt=0, lt=1)]
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

    @model_validator(mode="after")
    def _weights_belong_to_a_backbone(self) -> "EmbedFrames":
        if unused := set(self.weights) - set(self.backbones):
            raise ValueError(
                f"weights are given for {sorted(unused)}, which backbones {self.backbones} lacks"
            )
        return self


class TuneLr(_Block):
    tuner: Literal["bayesian", "random", "grid"]
    learning_rates: Annotated[list[Rate], Field(min_length=1), AfterValidator(_distinct)]
    epochs: Count
    batch_size: Count


class TrainBest(_Block):
    trained_at: Literal["full", "small"]
    epochs: Count
    batch_size: Count


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


class Runtime(_Block):
    # Keras Tuner takes 0 for "draw a seed".
    seed: Count
    threads: Count


class Params(_Block):
    """All of params.yaml."""

    extract_frames: ExtractFrames
    embed_frames: EmbedFrames
    tune_lr: TuneLr
    train_best: TrainBest
    add_stem: AddStem
    evaluate: Evaluate
    runtime: Runtime

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
    key = ".".join(str(part) for part in detail["loc"]) or "the whole file"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "missing":
        return f"  {key}: is missing; every setting must be given"
    if detail["type"] == "extra_forbidden":
        return f"  {key}: unknown setting; check its spelling, or remove it"
    return f"  {key}: {message} (found {detail['input']!r})"
