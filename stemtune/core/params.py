"""The settings in params.yaml that stages read: one block per stage, checked before any work."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError, model_validator

from stemtune.core import files, geometry
from stemtune.core.errors import InputError
from stemtune.core.input_specification import InputSpecification
from stemtune.core.settings.block import MIN_SIDE, Block
from stemtune.core.settings.frames import EmbedFrames, ExtractFrames
from stemtune.core.settings.running import Compare, Export, Runtime
from stemtune.core.settings.training import AddStem, TrainBest, TuneLr

# Blocks that no stage reads, so an edit of them, or of their code, reruns none: see `all_params`.
APART = ("track", "ci")
Kind = TypeVar("Kind", bound=Block)


class ParamsError(InputError):
    """params.yaml holds something that the pipeline does not accept."""


class Retrained(NamedTuple):
    """A head that is trained for one frame size, without a stem.

    Attributes:
        key: The side, or another backbone and the side, as in efficientnet_lite1_128.
        embed: Block embed_frames with the backbones behind which it is trained.
        side: Of the frames that these see, px.
    """

    key: str
    embed: EmbedFrames
    side: int


class Params(Block):
    """The blocks of params.yaml that stages read."""

    extract_frames: ExtractFrames
    embed_frames: EmbedFrames
    tune_lr: TuneLr
    train_best: TrainBest
    add_stem: AddStem
    compare: Compare
    export: Export
    runtime: Runtime

    @property
    def small_side(self) -> int:
        """Size of small frames, px: a stem's output without the border that its kernels take."""
        return geometry.small_side(self.extract_frames.size, self.add_stem.downscale)

    @property
    def sides(self) -> list[int]:
        """Sides of frames that models are compared at, px, rising; small and full one included."""
        return sorted({*self.compare.sides, self.small_side, self.extract_frames.size})

    @property
    def compared_backbones(self) -> EmbedFrames:
        """Block embed_frames, with the backbones of block compare after its own."""
        named = [*self.embed_frames.backbones, *self.compare.backbones]
        return self.embed_frames.model_copy(update={"backbones": named})

    @property
    def retrained(self) -> list[Retrained]:
        """The heads that are trained without a stem; those of the project's own backbones first."""
        own = [Retrained(str(side), self.embed_frames, side) for side in self.sides]
        return own + [
            Retrained(
                f"{name}_{side}", self.embed_frames.model_copy(update={"backbones": [name]}), side
            )
            for name in self.compare.backbones
            for side in self.sides
        ]

    def input_specification(self, side: int) -> InputSpecification:
        """Returns which frames a classifier takes that sees those of `side`, px."""
        frames = self.extract_frames
        return InputSpecification(frames.frames_per_clip, frames.size, side)

    @model_validator(mode="after")
    def _each_backbone_is_named_once(self) -> "Params":
        named, both = self.compared_backbones.backbones, "embed_frames.backbones, compare.backbones"
        if len(set(named)) < len(named):
            raise ValueError(f"{both}: a backbone is named twice; got {named}")
        for setting in ("weights", "input_sizes"):
            if unused := sorted(set(getattr(self.embed_frames, setting)) - set(named)):
                raise ValueError(
                    f"embed_frames.{setting}: given for {unused}, but used are {named} ({both})"
                )
        return self

    @model_validator(mode="after")
    def _resizing_makes_smaller(self) -> "Params":
        size = self.extract_frames.size
        if larger := [side for side in self.compare.sides if side > size]:
            raise ValueError(
                f"compare.sides must not exceed extract_frames.size, {size}; got {larger}"
            )
        return self

    @model_validator(mode="after")
    def _frames_behind_the_stem_are_large_enough(self) -> "Params":
        size, downscale = self.extract_frames.size, self.add_stem.downscale
        least = geometry.before_stem(MIN_SIDE, downscale)
        if size < least:
            raise ValueError(
                f"extract_frames.size: must be {least} or more with add_stem.downscale "
                f"{downscale}, so the stem outputs at least {MIN_SIDE} px; got {size}"
            )
        return self


def load(path: Path = Path("params.yaml")) -> Params:
    """Reads and checks the settings that stages read.

    Raises:
        ParamsError, InputError: As from `load_as`.
    """
    return load_as(Params, path)


def load_as(kind: type[Kind], path: Path) -> Kind:
    """Reads and checks params.yaml.

    Raises:
        ParamsError: The file is missing, or has an unknown key, a missing key, a wrong type or an
            impossible value. The message names each key, the value seen and what is allowed.
        InputError: It is no text, or not YAML. The message names the line.
    """
    try:
        content = files.read_yaml(path)
    except FileNotFoundError:
        raise ParamsError(
            f"{path} is missing; run from the folder that holds dvc.yaml and params.yaml"
        ) from None
    return check(kind, content, str(path))


def check(kind: type[Kind], content: Any, name: str) -> Kind:
    """Returns settings, checked.

    Args:
        kind: `Params`, all settings, or those of another file.
        content: What the file holds, as `files.read_yaml` returns it.
        name: Of the file or variable, to be named if it is wrong.

    Raises:
        ParamsError: As from `load_as`.
    """
    if kind is Params and isinstance(content, dict):
        content = {block: settings for block, settings in content.items() if block not in APART}
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        lines = [_explain(detail) for detail in error.errors()]
        raise ParamsError("\n".join([f"{name} is not accepted:", *lines])) from None


def flat(name: str, block: BaseModel) -> dict[str, Any]:
    """Returns a block's settings by dotted name, such as `extract_frames.split.by`."""
    return dict(leaves(block.model_dump(), name))


def leaves(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yields settings by dotted name, such as `extract_frames.split.by`, and their values.

    Args:
        settings: Nested as in params.yaml; an empty mapping is a value.
        above: What the names begin with.
    """
    for key, value in settings.items():
        name = f"{above}.{key}" if above else key
        if isinstance(value, dict) and value:
            yield from leaves(value, name)
        else:
            yield name, value


def _explain(detail: Any) -> str:
    # The form that a value has, "(list)" or "(range)", is no key of the file, nor is "[key]".
    parts = [str(part) for part in detail["loc"] if not str(part).startswith(("(", "["))]
    key = ".".join(parts) or "the whole file"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "missing":
        return f"  {key}: is missing; every setting must be given"
    if detail["type"] == "extra_forbidden":
        return f"  {key}: unknown setting; check its spelling, or remove it"
    # Of several blocks, the message has the values that matter.
    return f"  {key}: {message} (found {detail['input']!r})" if parts else f"  {message}"
