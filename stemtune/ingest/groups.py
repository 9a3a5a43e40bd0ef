"""Which clips share footage: clips of one group stay in one split."""

import csv
import io
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from stemtune.core import text
from stemtune.core.printable import name as shown
from stemtune.ingest import near_duplicates, words
from stemtune.ingest.clips import Clip, ClipsError, Names

# UCF101 (Soomro, Zamir and Shah, 2012): clips of one group were cut from one video.
UCF101_NAME = re.compile(r"(v_.+_g\d+)_c\d+")
SAY_BY_HAND = "say in data/groups.csv which clips are of one recording"
BY_TABLE, BY_NAME, BY_FOOTAGE, BY_CONTENT = "groups.csv", "name", "footage", "content"


class Group(NamedTuple):
    """A group's name, and what put the clip into it: one of the `BY_` values."""

    name: str
    by: str


class Footage(NamedTuple):
    """What is seen in a clip: its frames' perceptual hashes, and how many seconds it lasts."""

    hashes: Sequence[str]
    duration: float


def assign(
    clips: Sequence[Clip],
    table: Mapping[str, str],
    seen: Mapping[str, Footage],
    near_duplicates: int | None,
) -> dict[str, Group]:
    """Returns the group of every clip by the clip's name.

    A clip's row in groups.csv comes first, then a UCF101 name. The others share a group with
    whatever shows the same footage: that of a clip with a row or name, if there is one, else one
    named after the longest of them. A cut that is added then moves none of the others. Copies
    of one content are always together: two groups that hold one are a single group.

    Args:
        clips: All clips.
        table: Group by clip name, from `of_clips`.
        seen: By checksum; contents that could not be decoded are not in it.
        near_duplicates: How many bits two hashes of the same footage differ by at most; None:
            only equal contents share a group.

    Raises:
        ClipsError: So many clips look alike that comparing them has no use.
    """
    given = _united(clips, {clip.name: each for clip in clips if (each := _given(clip, table))})
    by_content: dict[str, Group] = {}
    for clip in clips:
        if clip.name in given:
            by_content.setdefault(clip.sha256, given[clip.name])
    by_footage = {}
    if near_duplicates is not None:
        by_footage = _by_footage(seen, by_content, near_duplicates)
    return {
        clip.name: given.get(clip.name) or _found(clip, by_content, by_footage) for clip in clips
    }


def read_table(path: Path) -> dict[str, str]:
    """Reads groups.csv: group by clip name; nothing where there is no such file.

    Raises:
        ClipsError: A row is malformed, or gives a clip a second group.
        TextError: It is no text, or in an encoding that cannot be told.
    """
    if not path.exists():
        return {}
    content = text.read(path)
    header = text.lines(content)[0]
    # Spreadsheets write what their country and their choice of format have for a comma.
    separators = [mark for mark in ",;\t" if _cells(header.split(mark)) == ["clip", "group"]]
    if not separators:
        raise ClipsError(
            f"{path}: the header is {header!r}; it has to be clip,group with one row per clip, "
            "such as knit/a.mp4,scene 7"
        )
    groups: dict[str, str] = {}
    rows = csv.reader(io.StringIO(content, newline=""), delimiter=separators[0])
    try:
        next(rows)
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != 2 or not all(cell.strip() for cell in row):
                raise ClipsError(f"{path}, line {rows.line_num}: expected clip,group; got {row}")
            clip, group = row[0], text.composed(row[1].strip())
            if groups.setdefault(clip, group) != group:
                raise ClipsError(
                    f"{path}, line {rows.line_num}: {shown(clip)} is in group "
                    f"{shown(groups[clip])} and in {shown(group)}; a clip has one group"
                )
    except csv.Error as error:
        raise ClipsError(f"{path}, line {rows.line_num}: {error}; is a quote left open?") from None
    _refuse_two_spellings(path, set(groups.values()))
    return groups


def _refuse_two_spellings(path: Path, names: Collection[str]) -> None:
    """Raises ClipsError where one source is written in two ways: it would be split in two."""
    if twice := [" and ".join(map(shown, each)) for each in text.differing_by_spelling(names)]:
        raise ClipsError(
            f"{path} has groups that differ by their spelling alone: {words.some(twice, '; ')}. "
            "Write each group in one way, or give different groups different names"
        )


def _cells(written: Sequence[str]) -> list[str]:
    return [cell.strip().strip('"').casefold() for cell in written]


def of_clips(table: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Returns a table's groups by the names that the clips' files have.

    Args:
        table: From `read_table`.
        names: Of all clips.

    Raises:
        ClipsError: The table names a clip that does not exist, or one clip in two ways.
    """
    known = Names(names)
    unknown = [written for written in table if not known.meant(written)]
    if unknown:
        raise ClipsError(
            f"groups.csv names {len(unknown)} clip(s) that do not exist: {words.some(unknown)}; "
            "remove these rows or add the clips. Names are paths below data/, such as "
            f"{shown(names[0])}"
        )
    rows: dict[str, str] = {}
    for written, group in table.items():
        for name in known.meant(written):
            if rows.setdefault(name, group) != group:
                raise ClipsError(
                    f"groups.csv names {shown(name)} in two ways, in group {shown(rows[name])} and "
                    f"in {shown(group)}; a clip has one group"
                )
    return rows


def _united(clips: Sequence[Clip], given: Mapping[str, Group]) -> dict[str, Group]:
    """Returns given groups, those that share a content as one, named after the first of them."""
    # A group that was united leads to one whose name comes before its own.
    united: dict[str, str] = {}

    def name(group: str) -> str:
        while group in united:
            group = united[group]
        return group

    holder: dict[str, str] = {}
    for clip in clips:
        if clip.sha256 and clip.name in given:
            group = given[clip.name].name
            first, second = sorted([name(group), name(holder.setdefault(clip.sha256, group))])
            if first != second:
                united[second] = first
    return {clip: group._replace(name=name(group.name)) for clip, group in given.items()}


def _given(clip: Clip, rows: Mapping[str, str]) -> Group | None:
    if clip.name in rows:
        return Group(rows[clip.name], BY_TABLE)
    ucf101 = UCF101_NAME.fullmatch(Path(clip.name).stem)
    return Group(ucf101[1], BY_NAME) if ucf101 else None


def _found(clip: Clip, by_content: Mapping[str, Group], by_footage: Mapping[str, Group]) -> Group:
    if clip.sha256 and clip.sha256 in by_content:
        return Group(by_content[clip.sha256].name, BY_CONTENT)
    return by_footage.get(clip.sha256) or Group(_named_after(clip.sha256 or clip.name), BY_CONTENT)


def _by_footage(
    seen: Mapping[str, Footage], given: Mapping[str, Group], bits: int
) -> dict[str, Group]:
    """Returns the groups of contents without a given one that show the footage of another."""
    free = [content for content in sorted(seen) if content not in given]
    others = [content for content in sorted(seen) if content in given]
    hashes = [seen[content].hashes for content in free + others]
    found: dict[str, Group] = {}
    try:
        sets = [*near_duplicates.clusters(hashes, len(free), bits)]
    except near_duplicates.TooAlikeError as error:
        raise ClipsError(f"{error}. Set {telling_more_apart(bits)}, and {SAY_BY_HAND}") from error
    for members, nearest in sets:
        contents = [free[member] for member in members]
        longest = min(contents, key=lambda content: (-seen[content].duration, content))
        name = _named_after(longest) if nearest is None else given[others[nearest]].name
        found |= dict.fromkeys(contents, Group(name, BY_FOOTAGE))
    return found


def telling_more_apart(bits: int) -> str:
    """Returns which setting has fewer clips of fixed cameras taken for the same footage."""
    return "extract_frames.near_duplicates: null" + (
        f", or to a number below {bits}" if bits else ""
    )


def _named_after(content: str) -> str:
    return f"clip {content[:16]}"
