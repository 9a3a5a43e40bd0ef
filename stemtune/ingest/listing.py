"""The listing: all that names say of the clips, checked before any of them is read."""

from dataclasses import dataclass
from pathlib import Path

from stemtune.core.paths import LISTED
from stemtune.core.settings.frames import ExtractFrames
from stemtune.ingest import checksums, clips, groups, remote, splits
from stemtune.ingest.clips import Clip


@dataclass(frozen=True)
class Listing:
    """The clips and what comes with them.

    Attributes:
        clips: All, with the checksums of their contents; those that are in a remote and were not
            fetched yet have none.
        groups: What groups.csv says, by clip name.
        splits: The split that comes with the clips; None: it is drawn.
    """

    clips: list[Clip]
    groups: dict[str, str]
    splits: splits.Given | None


def read(data: Path, params: ExtractFrames, workers: int, memory: Path) -> Listing:
    """Returns the listing of a data folder, which may be in a DVC remote; see `paths.LISTED`.

    Args:
        data: The folder.
        params: Settings.
        workers: Number of files that are read at a time.
        memory: As `checksums.add` takes it.

    Raises:
        ClipsError, LayoutError, TextError: Folders, tables or names are not as they have to be.
        UnreadError: The system fails to read them.
    """
    listed = remote.contents(data) if LISTED.exists() else None
    found = clips.find(data, params, listed)
    names = [clip.name for clip in found]
    if listed is not None:
        data = remote.tables(data, listed, (clips.GROUPS_FILE, *clips.list_names(params)))
    table = groups.of_clips(groups.read_table(data / clips.GROUPS_FILE), names)
    given = splits.given(found, data, params.split)
    if listed is not None:
        return Listing(remote.with_checksums(found), table, given)
    return Listing(checksums.add(found, workers, memory), table, given)
