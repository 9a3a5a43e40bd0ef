"""Settings of the stages that make frames and features: extract_frames and embed_frames."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from stemtune.core.settings.block import (
    MIN_SIDE,
    Block,
    Count,
    FileName,
    Name,
    Share,
    distinct,
)

# Enough for each of the backbones, px.
LARGEST_MIN_SIDE = 75


class SplitLists(Block):
    """Files of an official split below data/, such as UCF101's; validation is split off train."""

    train: FileName
    test: FileName


class SplitFolders(Block):
    """Folders of a given split, `data/<split>/<class>/…` or `data/<class>/<split>/…`.

    Attributes:
        validation: None: validation is split off train.
    """

    train: FileName
    validation: FileName | None
    test: FileName

    @model_validator(mode="after")
    def _differ(self) -> "SplitFolders":
        distinct([name for name in (self.train, self.validation, self.test) if name])
        return self


class Split(Block):
    """How frames are split into train, validation and test; train takes the rest."""

    by: Literal["group", "clip", "frame"]
    lists: SplitLists | None
    folders: SplitFolders | None
    validation: Share
    test: Share
    seed: int

    @model_validator(mode="after")
    def _leaves_some_for_training(self) -> "Split":
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation + test must stay below 1; got {self.validation} + {self.test}"
            )
        if self.lists and self.folders:
            raise ValueError("lists and folders both say what is test: set one of them to null")
        for name, given in (("lists", self.lists), ("folders", self.folders)):
            if given and self.by == "frame":
                raise ValueError(
                    f"{name} split whole clips: set by to group or clip, or {name} to null"
                )
        return self


class Limits(Block):
    """Limits of one clip; past any of them it is quarantined.

    Attributes:
        decode_seconds: Of a processor's time, for decoding it.
        pixels: Of one frame, width times height.
        frames: In a clip that has to be decoded whole. If packets tell which frames to decode,
            a clip may be longer.
        memory_mib: In the process that decodes it, MiB of address space.
    """

    # A day, and more memory than a machine has: what the system takes for such limits is bounded.
    decode_seconds: Annotated[float, Field(gt=0, le=86_400)]
    pixels: Count
    frames: Count
    memory_mib: Annotated[int, Field(ge=1024, le=2**30)]


class ExtractFrames(Block):
    frames_per_clip: Count
    size: Annotated[int, Field(ge=MIN_SIDE, le=4096)]
    classes: Annotated[list[str], Field(min_length=2), AfterValidator(distinct)] | None
    short_clips: Literal["repeat", "quarantine"]
    near_duplicates: Annotated[int, Field(ge=0, lt=32)] | None
    split: Split
    min_clips: Count
    max_quarantined: Annotated[float, Field(ge=0, lt=1)]
    limits: Limits


class WeightsFile(Block):
    """A local weights file; the checksum makes DVC see that its content changed."""

    path: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class EmbedFrames(Block):
    backbones: Annotated[list[Name], Field(min_length=1), AfterValidator(distinct)]
    weights: dict[Name, Literal["random"] | WeightsFile]
    input_sizes: dict[Name, Annotated[int, Field(ge=LARGEST_MIN_SIDE, le=4096)]]
