"""JSON files of known keys: written from typed content, and checked when they are read back."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from stemtune.core import files
from stemtune.core.errors import InputError, Missing

Content = TypeVar("Content", bound=BaseModel)
# Characters of a value that an error shows.
LONGEST = 200


def write(path: Path, content: BaseModel) -> None:
    """Writes content as `files.write_json` does; keys without a value are left out."""
    files.write_json(path, content.model_dump(exclude_none=True))


def read(path: Path, kind: type[Content]) -> Content:
    """Reads what `write` wrote.

    Raises:
        Missing: The file is missing.
        InputError: It does not hold such content.
    """
    try:
        # What is no text becomes no JSON either.
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise Missing(path) from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; delete it, and `dvc repro` makes the file") from None
    return parse(text, str(path), kind, f"delete {path}, and `dvc repro` makes it again")


def parse(text: str, name: str, kind: type[Content], remedy: str) -> Content:
    """Returns the content of JSON text.

    Args:
        text: What the file holds.
        name: Of the file, to be named where it is wrong.
        kind: The content's type.
        remedy: What to do where it is wrong.

    Raises:
        InputError: It is not JSON, lacks a key, or has a value of another type. The message names
            each key and the value seen.
    """
    try:
        return kind.model_validate_json(text, strict=True)
    except ValidationError as error:
        lines = [_explain(detail) for detail in error.errors()]
        raise InputError("\n".join([f"{name} is not accepted:", *lines, remedy])) from None


def _explain(detail: Any) -> str:
    key = ".".join(str(part) for part in detail["loc"]) or "the whole file"
    if detail["type"] == "missing":
        return f"  {key}: is missing"
    return f"  {key}: {detail['msg']} (found {repr(detail['input'])[:LONGEST]})"
