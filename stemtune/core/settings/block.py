"""What all blocks of params.yaml share: no unknown keys, no conversions, and types with bounds."""

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Item = TypeVar("Item")

# The least that a backbone takes, px.
MIN_SIDE = 32
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
FileName = Annotated[str, Field(pattern=r"^[^/.][^/]*$")]
Share = Annotated[float, Field(gt=0, lt=1)]
Drop = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class Block(BaseModel):
    """A block of params.yaml: every setting is given, none is unknown, none is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def distinct(items: list[Item]) -> list[Item]:
    """Returns the items; raises ValueError where one is there twice."""
    if len(set(items)) != len(items):
        raise ValueError(f"must not repeat a value; got {items}")
    return items
