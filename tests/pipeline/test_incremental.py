"""One clip among many changes, under DVC: what is decoded and embedded again, and what is not."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from stemtune.store import arrays, manifest
from tests.support.project import ROOT, UNTRACKED, Project, embedded

FOLDERS = ("frames", "embeddings", "embeddings_augmented")
# Bytes behind the last box of an mp4 are ignored: another file, the same footage.
FREE_BOX = b"\0\0\0\x0cfree\0\0\0\0"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(warm: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project of many clips with frames and embeddings."""
    project = Project(tmp_path_factory.mktemp("incremental"))
    project.environment = warm
    project.fill(ROOT / "data", per_split=4)
    free(project)
    project.set_params(extract_frames={"size": 72, "frames_per_clip": 2}, track=UNTRACKED)
    project.run("dvc", "add", "--quiet", "data")
    project.run("dvc", "repro", "embed_frames")
    yield project
    project.remove()


def free(project: Project) -> None:
    """Takes the first clip of each class out of groups.csv, so that it can come and go."""
    table = project.root / "data/groups.csv"
    header, *rows = table.read_text().splitlines()
    first = {row.split("/")[0]: row for row in reversed(rows)}
    kept = [row for row in rows if row not in first.values()]
    table.write_text("\n".join([header, *kept]) + "\n")


def free_clip(project: Project, position: int) -> Path:
    """Returns the clip that `free` took out in the class at that position."""
    data = project.root / "data"
    listed = (data / "groups.csv").read_text()
    label = sorted(path.name for path in data.iterdir() if path.is_dir())[position]
    names = sorted(path.name for path in (data / label).iterdir())
    return next(data / label / name for name in names if f"{label}/{name}," not in listed)


def shards(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Returns identity, time of writing and content of every shard of frames and of features."""
    return {
        path.relative_to(root).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns, data)
        for folder in FOLDERS
        for path in sorted((root / folder).rglob("*.npz"))
        if (data := path.read_bytes())
    }


def shards_of(root: Path, path: Path) -> set[str]:
    """Returns the shards that a clip has: frames, and features; more of them by its split."""
    clip = path.relative_to(root / "data").as_posix()
    row = manifest.read(root / "manifest.parquet").set_index("clip").loc[clip]
    further = {manifest.TRAIN: ["embeddings_augmented"]}
    homes = ["embeddings", *further.get(row["split"], [])]
    folders = [folder for home in homes for folder in root.glob(f"{home}/small/*/")]
    names = ["frames", *(folder.relative_to(root).as_posix() for folder in folders)]
    return {str(arrays.path_of(Path(name), row["shard"])) for name in names}


def add(clip: Path) -> Path:
    new = clip.with_name("new.mp4")
    new.write_bytes(clip.read_bytes() + FREE_BOX)
    return new


def remove(clip: Path) -> None:
    clip.unlink()


def rename(clip: Path) -> None:
    clip.rename(clip.with_name("-новое имя.mp4"))


def modify(clip: Path) -> Path:
    # Written anew: DVC may have linked the file to its cache.
    content = clip.read_bytes()
    clip.unlink()
    clip.write_bytes(content + FREE_BOX * 2)
    return clip


def duplicate(clip: Path) -> None:
    shutil.copy(clip, clip.with_name("again.mp4"))


def test_of_changes_of_every_kind_only_new_content_is_decoded_and_embedded(
    project: Project,
) -> None:
    before = shards(project.root)
    assert len(before) > 3 * 60
    # Each in a class of its own, so that what one does is not what another does.
    added, removed, renamed, modified, copied = (
        free_clip(project, position) for position in range(5)
    )
    gone = shards_of(project.root, removed) | shards_of(project.root, modified)
    new = [add(added), modify(modified)]
    remove(removed)
    rename(renamed)
    duplicate(copied)
    printed = project.run("dvc", "repro", "embed_frames")
    after = shards(project.root)

    # To the name: a clip that was renamed or copied has no shard that was written now.
    made = [shards_of(project.root, clip) for clip in new]
    assert {name for name in after if after[name] != before.get(name)} == set().union(*made)
    assert set(before) - set(after) == gone
    assert "; 2 decoded, " in printed
    count = sum(each.embedded for each in embedded(printed))
    assert count == sum(len(names) - 1 for names in made)


def test_a_machine_that_pulled_the_frames_decodes_only_the_new_clip(
    project: Project, tmp_path: Path
) -> None:
    clip = free_clip(project, 5)
    project.run("dvc", "remote", "add", "--force", "--default", "store", str(tmp_path / "store"))
    project.run("dvc", "push", "--quiet")
    project.commit("The day before")
    other = project.clone(tmp_path / "clone")
    other.run("dvc", "pull", "--quiet", "data.dvc", "extract_frames", "embed_frames")
    before = shards(other.root)
    assert {name: data for name, (*_, data) in before.items()} == {
        name: data for name, (*_, data) in shards(project.root).items()
    }
    new = other.root / "data" / clip.relative_to(project.root / "data").with_name("tomorrow.mp4")
    new.write_bytes(clip.read_bytes() + FREE_BOX * 3)
    printed = other.run("dvc", "repro", "embed_frames")
    assert "; 1 decoded, " in printed
    after = shards(other.root)
    assert {name for name in after if after[name] != before.get(name)} == shards_of(other.root, new)
