"""`stemtune leaks`: which clips of any folder share footage across splits or folders."""

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemtune.commands import arguments
from stemtune.core import printable
from stemtune.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from stemtune.ingest.clips import Entry
    from stemtune.media.sandbox import Sandbox

DESCRIPTION = """\
Finds clips that show the same footage and are in different splits or folders: cuts of one video,
and the same clip recoded, scaled or renamed. Folders may be anything; those named like splits
(train, val, test and the like) count as splits.
"""
EPILOG = """\
examples:
  stemtune leaks UCF101
  stemtune leaks --json data | jq '.shared[] | select(.across == "splits") | .clips'
  stemtune leaks --all data               sets within one folder too

Two clips share footage when half of the frames of either one look like a frame of the other: their
perceptual hashes (pHash, 64 bits) differ in at most --bits bits. Two frames also have to agree in
color, or in shades if the light differs: else the clips only share a pattern. Clips of one fixed
camera look alike all the time: fewer bits tell them apart, or nothing does.

exit codes:
  0  no clips share footage across splits or folders
  1  some do
  2  nothing was compared: there is no such folder, or the arguments are wrong
  3  none of those that could be read do; those that could not are named with the reason
"""
# As extract_frames has them.
FRAMES, SIDE, BITS = 4, 224, 10
SPLITS, FOLDERS, NOTHING = "splits", "folders", "nothing"


@dataclass(frozen=True)
class Job:
    """A clip to be looked at, and how many of its frames."""

    path: Path
    frames: int

    def __str__(self) -> str:
        return f"the clip {self.path}"


@dataclass(frozen=True)
class Seen:
    """What is seen in a clip: its frames' hashes and thumbnails; and its content's checksum."""

    hashes: list[str]
    thumbnails: "np.ndarray"
    sha256: str


@dataclass(frozen=True)
class Shared:
    """Clips that share footage.

    Attributes:
        across: "splits", "folders", or "nothing" if they are in one folder.
        places: The splits or folders.
        clips: Names below the folder that was looked through, sorted.
    """

    across: str
    places: list[str]
    clips: list[str]


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Describes the subcommand."""
    parser = commands.add_parser(
        "leaks",
        help="find footage that splits or folders share",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="a folder with clips in folders")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--all", action="store_true", help="print sets within one folder too")
    parser.add_argument(
        "--frames",
        type=arguments.whole(1, 256),
        metavar="N",
        default=FRAMES,
        help="how many frames of a clip to look at; more find shorter overlaps "
        "(1 to 256, default: %(default)s)",
    )
    parser.add_argument(
        "--bits",
        type=arguments.whole(0, 31),
        metavar="N",
        default=BITS,
        help="how many bits of two like frames may differ (0 to 31, default: %(default)s)",
    )
    parser.set_defaults(run=run, name=parser.prog)


def run(options: argparse.Namespace) -> int:
    """Prints the sets of clips, and returns the exit code.

    Raises:
        InputError: There is no such folder, or nothing in it.
    """
    from stemtune.engine import choice
    from stemtune.ingest import clips, near_duplicates
    from stemtune.media import parallel, sampling
    from stemtune.media.sandbox import Sandbox

    if not options.data.is_dir():
        raise InputError(f"there is no folder {options.data}")
    entries = clips.entries(options.data)
    if not entries:
        raise InputError(f"there are no clips in {options.data}")
    problems = {entry.name: entry.problem for entry in entries if not _is_readable(entry)}
    readable = [entry for entry in entries if entry.name not in problems]
    jobs = [Job(entry.path, options.frames) for entry in readable]
    seen: dict[str, Seen] = {}
    with Sandbox(sampling.LIMITS, choice.cores()) as sandbox:
        looked = parallel.results(sandbox, look, jobs, "looking")
        for entry, outcome in zip(readable, looked, strict=True):
            if isinstance(outcome, Seen):
                seen[entry.name] = outcome
            else:
                problems[entry.name] = outcome
    for name in sorted(problems):
        told = f"{options.name}: {printable.name(name)} {problems[name]}"
        print(printable.message(told), file=sys.stderr)
    try:
        found = shared(seen, options.bits)
    except near_duplicates.TooAlikeError as error:
        raise InputError(f"{error}; compare them with fewer --bits") from error
    shown = [each for each in found if options.all or each.across != NOTHING]
    print(_as_json(shown, seen, problems) if options.json else _as_text(shown, found, len(seen)))
    if any(each.across != NOTHING for each in found):
        return 1
    return 3 if problems else 0


def look(sandbox: "Sandbox", job: Job) -> Seen | str:
    """Returns what is seen in a clip, or why nothing is."""
    from stemtune.commands import thumbnails
    from stemtune.core import files
    from stemtune.ingest import near_duplicates
    from stemtune.media.sampling import DecodeError

    try:
        sample = sandbox.sample(job.path, job.frames, SIDE)
        hashes = near_duplicates.hashes(sample.frames)
        return Seen(hashes, thumbnails.of(sample.frames), files.sha256(job.path))
    except DecodeError as error:
        return str(error)


def shared(seen: Mapping[str, Seen], bits: int) -> list[Shared]:
    """Returns the sets of clips that share footage or content, those across splits first.

    Args:
        seen: By the clip's name.
        bits: By how many two hashes of like frames may differ.
    """
    from stemtune.commands import thumbnails
    from stemtune.ingest import near_duplicates

    by_content: dict[str, list[str]] = defaultdict(list)
    for name, each in seen.items():
        by_content[each.sha256].append(name)
    contents = list(by_content)
    firsts = [seen[by_content[content][0]] for content in contents]

    def confirm(one: int, other: int) -> bool:
        return thumbnails.agree(firsts[one].thumbnails, firsts[other].thumbnails)

    hashes = [each.hashes for each in firsts]
    clusters = near_duplicates.clusters(hashes, len(hashes), bits, confirm)
    sets = [members for members, _ in clusters]
    together = {member for members in sets for member in members}
    sets += [[place] for place in range(len(contents)) if place not in together]
    splits = _splits(list(seen))
    found = []
    for members in sets:
        clips = sorted(name for member in members for name in by_content[contents[member]])
        if len(clips) > 1:
            found.append(_shared(clips, splits))
    order = [SPLITS, FOLDERS, NOTHING]
    return sorted(found, key=lambda each: (order.index(each.across), each.clips))


def _is_readable(entry: "Entry") -> bool:
    from stemtune.ingest import clips

    # Data that DVC does not keep may well link to clips elsewhere.
    return not entry.problem or (entry.problem == clips.LEADS_OUT and entry.path.is_file())


def _shared(clips: list[str], splits: Mapping[str, str]) -> Shared:
    places = sorted({splits[clip] for clip in clips if clip in splits})
    if len(places) > 1:
        return Shared(SPLITS, places, clips)
    folders = sorted({Path(clip).parent.as_posix() for clip in clips})
    return Shared(FOLDERS if len(folders) > 1 else NOTHING, folders, clips)


def _splits(names: Sequence[str]) -> dict[str, str]:
    """Returns the folder that is a split, by the clip's name; none where no folders are."""
    from stemtune.ingest import layout

    # The first of the folders that tells train from test, as in train/knit/ or knit/train/.
    for level in (0, 1):
        folders = {name: name.split("/")[level] for name in names if name.count("/") > level}
        called = layout.splits_called(set(folders.values()))
        if len(called) > 1:
            known = {folder for each in called.values() for folder in each}
            return {name: folder for name, folder in folders.items() if folder in known}
    return {}


def _as_json(shown: Sequence[Shared], seen: Mapping[str, Seen], problems: Mapping[str, str]) -> str:
    sets = [vars(each) for each in shown]
    document = {"compared": len(seen), "shared": sets, "unreadable": dict(problems)}
    # ASCII alone: no name in it steers a terminal, and each is exact.
    return json.dumps(document, indent=2)


def _as_text(shown: Sequence[Shared], found: Sequence[Shared], compared: int) -> str:
    lines = []
    for each in shown:
        where = f"across {each.across}" if each.across != NOTHING else "in one folder"
        lines.append(f"{where}: {', '.join(map(printable.name, each.places))}")
        lines += [f"  {printable.name(clip)}" for clip in each.clips]
    count = Counter(each.across for each in found)
    lines += [""] if lines else []
    lines.append(
        f"{compared} clips compared. Sets that share footage: {count[SPLITS]} across splits, "
        f"{count[FOLDERS]} across folders, {count[NOTHING]} in one folder"
    )
    if count[NOTHING] and len(shown) < len(found):
        lines[-1] += " (--all shows these too)"
    return "\n".join(lines)
