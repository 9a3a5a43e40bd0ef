"""The page of mistakes: their frames and what was answered, in one file of limited size."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from urllib.parse import quote

import numpy as np
from markupsafe import Markup

from stemtune.core import files, printable
from stemtune.core.paths import DATA, MISTAKES
from stemtune.report import mistakes, pictures, templates
from stemtune.report.mistakes import Mistake

PAGE = Path(__file__).with_name("mistakes.html.j2")
CLIP = Path(__file__).with_name("mistaken_clip.html.j2")
# Bytes; the rest of the page is a few thousand.
LARGEST, CLIPS = 3_000_000, 2_950_000
FRAMES, SIDE = 4, 136


@dataclass(frozen=True)
class Section:
    """The mistakes of one kind.

    Attributes:
        missed_by: Which models make them, one of `mistakes.KINDS`.
        count: How many there are.
        clips: Those that the page has room for, as HTML.
    """

    missed_by: str
    count: int
    clips: list[Markup]


def write(
    found: Sequence[Mistake], clips: int, stem: str, read: Callable[[str, int], np.ndarray]
) -> None:
    """Writes the page beside the report; see `render`."""
    files.write_text(MISTAKES, render(found, clips, stem, read))


def render(
    found: Sequence[Mistake], clips: int, stem: str, read: Callable[[str, int], np.ndarray]
) -> str:
    """Returns the page as HTML, of at most `LARGEST` bytes; it says what was left out.

    Args:
        found: The mistakes, the most telling first.
        clips: How many test clips there are.
        stem: Name of the variant.
        read: Returns a frame (side, side, 3), uint8, by its shard and its index there.
    """
    kinds = {
        kind: [mistake for mistake in found if mistake.missed_by == kind] for kind in mistakes.KINDS
    }
    shown: dict[str, list[Markup]] = {kind: [] for kind in kinds}
    taken, template = 0, templates.load(CLIP)
    for mistake in _in_turns(kinds.values()):
        clip = Markup(  # noqa: S704
            template.render(
                mistake=mistake,
                name=printable.name(mistake.clip),
                address=address(mistake.clip),
                frames=[
                    pictures.small(read(mistake.shard, index), SIDE)
                    for index in spread(mistake.indexes)
                ],
            )
        )
        taken += len(clip.encode())
        if taken > CLIPS:
            break
        shown[mistake.missed_by].append(clip)
    sections = [Section(kind, len(made), shown[kind]) for kind, made in kinds.items() if made]
    return templates.load(PAGE).render(sections=sections, count=len(found), clips=clips, stem=stem)


def address(clip: str) -> str:
    """Returns where a clip lies, seen from the page."""
    return quote(f"../{DATA.as_posix()}/{clip}")


def spread(indexes: Sequence[int]) -> list[int]:
    """Returns up to `FRAMES` of the indexes, from the first to the last."""
    places = np.linspace(0, len(indexes) - 1, min(FRAMES, len(indexes))).round().astype(int)
    return [indexes[place] for place in places]


def _in_turns(kinds: Iterable[Sequence[Mistake]]) -> Iterator[Mistake]:
    """Yields the first of each kind, then the second of each, and so on."""
    for several in zip_longest(*kinds):
        yield from filter(None, several)
