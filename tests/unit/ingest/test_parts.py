"""Parts of the clips, decoded one by one, come to what one run of the stage comes to."""

import re
import shutil
from collections import Counter
from collections.abc import Iterator

import pytest

from stemtune.core.errors import InputError
from stemtune.ingest import parts
from stemtune.store import manifest
from tests.support import clips
from tests.support.project import HALF_TO_TRAIN, UNTRACKED, Project


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, warm: dict[str, str]) -> Iterator[Project]:
    """A project of twelve clips, two of them with one content, and of a file that is no clip."""
    project = Project(tmp_path_factory.mktemp("parts") / "project")
    project.environment = warm
    project.set_params(
        extract_frames={
            "size": 72,
            "frames_per_clip": 2,
            "split": HALF_TO_TRAIN | {"by": "clip"},
            "max_quarantined": 0.5,
        },
        track=UNTRACKED,
    )
    for number in range(12):
        label = ("one", "other")[number % 2]
        clips.write_frames(project.root / f"data/{label}/{number}.mp4", clips.scene(number))
    shutil.copy(project.root / "data/one/0.mp4", project.root / "data/one/again.mp4")
    (project.root / "data/one/notes.mp4").write_text("no clip")
    yield project
    project.remove()


def extracted(project: Project) -> dict[str, bytes]:
    """Returns the frame store and the manifest."""
    paths = [*(project.root / "frames").iterdir(), project.root / "manifest.parquet"]
    return {path.name: path.read_bytes() for path in paths}


def run(project: Project, *arguments: str) -> tuple[int, str]:
    module = ["stages.extract_frames"] if arguments else ["stemtune.run", "extract_frames"]
    return project.attempt("python", "-m", *module, *arguments)


def test_two_parts_and_then_the_stage_give_what_one_run_gives(small: Project) -> None:
    status, printed = run(small)
    assert status == 0, printed
    whole = extracted(small)
    assert len(whole) == 13
    shutil.rmtree(small.root / "frames")
    (small.root / "manifest.parquet").unlink()

    found: dict[str, int] = {}
    for part in ("1/2", "2/2"):
        status, printed = run(small, "--part", part)
        assert status == 0, printed
        assert f"extract_frames: part {part[0]} of 2: " in printed
        assert not (small.root / "manifest.parquet").exists()
        now = {path.name: path.stat().st_mtime_ns for path in (small.root / "frames").iterdir()}
        assert len(now) > len(found)
        assert found.items() <= now.items()
        found = now
    # A part that is begun again has nothing to do.
    status, printed = run(small, "--part", "1/2")
    assert re.search(r"clips; 0 of [01] without frames were decoded", printed)

    status, printed = run(small)
    assert status == 0, printed
    assert "1 decoded, 12 reused" in printed
    assert extracted(small) == whole
    written = {path.name: path.stat().st_mtime_ns for path in (small.root / "frames").iterdir()}
    assert written == found
    reasons = manifest.read(small.root / "manifest.parquet").set_index("clip")["quarantined"]
    assert reasons["one/notes.mp4"]


@pytest.mark.parametrize(
    "written", ["0/2", "3/2", "1/0", "2", "1/", "-1/2", "1/2/3", "a/b", "1.0/2"]
)
def test_what_is_no_part_is_refused(written: str) -> None:
    with pytest.raises(InputError, match=rf"--part {written}: expected k/n, the k-th of n parts"):
        parts.parse(written)


def test_what_is_no_part_ends_the_stage_with_that_alone(small: Project) -> None:
    status, printed = run(small, "--part=3/2")
    assert status == 1
    assert printed.startswith("extract_frames: --part 3/2: expected k/n")
    assert len(printed.splitlines()) == 1


def test_each_clip_is_in_one_part_and_parts_are_about_alike() -> None:
    names = [f"class {number % 7}/v_{number}.avi" for number in range(3000)]
    found = Counter(
        number for name in names for number in range(1, 8) if parts.Part(number, 7).has(name)
    )
    assert sum(found.values()) == len(names)
    assert len(found) == 7
    assert min(found.values()) > 350
    assert all(parts.Part(1, 1).has(name) for name in names)
