"""Which clips are found, and what is said of those that cannot be read."""

from pathlib import Path

import pytest

from stemtune import clips


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def test_class_and_order(tmp_path: Path) -> None:
    make(tmp_path, "b/v_Dive_g03_c01.avi", "b/v_Dive_g03_c02.avi", "a/бег -1.mp4", "a/deep/x.mp4")
    make(tmp_path, "a/.hidden.mp4", ".git/b.mp4")
    found = clips.find_clips(tmp_path)
    assert [clip.name for clip in found] == [
        "a/deep/x.mp4",
        "a/бег -1.mp4",
        "b/v_Dive_g03_c01.avi",
        "b/v_Dive_g03_c02.avi",
    ]
    assert [clip.label for clip in found] == ["a", "a", "b", "b"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], "0 class"),
        (["a/1.mp4"], "1 class"),
        (["a/1.mp4", "b/1.mp4", "stray.mp4"], "stray.mp4"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, files: list[str], said: str) -> None:
    make(tmp_path, *files)
    with pytest.raises(clips.ClipsError, match=said):
        clips.find_clips(tmp_path)


def test_a_missing_folder_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(clips.ClipsError, match=r"dvc pull data.dvc"):
        clips.find_clips(tmp_path / "data")


def test_tables_beside_the_classes_are_no_clips(tmp_path: Path) -> None:
    make(
        tmp_path, "a/1.mp4", "b/1.mp4", "groups.csv", "trainlist02.txt", "classInd.txt", "mine.txt"
    )
    with pytest.raises(clips.ClipsError, match=r"\['mine.txt'\]"):
        clips.find_clips(tmp_path)
    assert len(clips.find_clips(tmp_path, lists=("mine.txt",))) == 2


def test_data_that_dvc_laid_out_as_links_into_its_cache_is_found(tmp_path: Path) -> None:
    cached = tmp_path / "cache/files/md5/ab/0123456789abcdef0123456789abcd"
    make(tmp_path, cached.relative_to(tmp_path).as_posix(), "data/b/1.mp4")
    (tmp_path / "data/a").mkdir()
    (tmp_path / "data/a/1.mp4").symlink_to(cached)
    assert [clip.problem for clip in clips.find_clips(tmp_path / "data")] == ["", ""]
