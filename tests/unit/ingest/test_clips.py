"""Which clips are found, and what is said of those that cannot be read."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from stemtune.core.errors import InputError
from stemtune.ingest import clips


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
        ([], "holds no clips"),
        (["a/1.mp4"], "1 class"),
        (["a/1.mp4", "b/1.mp4", "stray.mp4"], "1 file\\(s\\) outside a class folder: stray.mp4;"),
        (["ucf/a/1.mp4", "ucf/b/1.mp4"], r"are the classes \(a, b\), move them up"),
        (["Dive/1.mp4", "dive/2.mp4"], "'Dive' and 'dive'"),
        (["high jump/1.mp4", "High_Jump /2.mp4"], "differ by their spelling alone"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, files: list[str], said: str) -> None:
    make(tmp_path, *files)
    with pytest.raises(InputError, match=said):
        clips.find_clips(tmp_path)


def test_a_missing_folder_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(clips.ClipsError, match=r"dvc pull data.dvc"):
        clips.find_clips(tmp_path / "data")


def test_tables_beside_the_classes_are_no_clips(tmp_path: Path) -> None:
    make(
        tmp_path, "a/1.mp4", "b/1.mp4", "groups.csv", "trainlist02.txt", "classInd.txt", "mine.txt"
    )
    with pytest.raises(clips.ClipsError, match="a class folder: mine.txt;"):
        clips.find_clips(tmp_path)
    assert len(clips.find_clips(tmp_path, lists=("mine.txt",))) == 2


def test_data_that_dvc_laid_out_as_links_into_its_cache_is_found(tmp_path: Path) -> None:
    cached = tmp_path / "cache/files/md5/ab/0123456789abcdef0123456789abcd"
    make(tmp_path, cached.relative_to(tmp_path).as_posix(), "data/b/1.mp4")
    (tmp_path / "data/a").mkdir()
    (tmp_path / "data/a/1.mp4").symlink_to(cached)
    assert [clip.problem for clip in clips.find_clips(tmp_path / "data")] == ["", ""]


def test_many_strays_are_counted_before_any_is_read(tmp_path: Path) -> None:
    make(tmp_path, "a/1.mp4", "b/1.mp4", *(f"{number}.mp4" for number in range(300)))
    # Sparse: no one could wait for its checksum.
    os.truncate(tmp_path / "0.mp4", 2**43)
    with pytest.raises(clips.ClipsError, match=r"300 file.*: 0.mp4, .* and 295 more;") as error:
        clips.find_clips(tmp_path)
    assert len(str(error.value)) < 400


def test_what_systems_leave_is_no_clip_and_no_class(tmp_path: Path) -> None:
    make(tmp_path, "a/1.mp4", "b/1.mp4", "Thumbs.db", ".DS_Store", "a/desktop.ini", "a/._1.mp4")
    make(tmp_path, "__MACOSX/a/._1.mp4", "@eaDir/x", "a/@eaDir/1.mp4/SYNO@.jpg", "empty/.gitkeep")
    found = clips.find_clips(tmp_path)
    assert [clip.name for clip in found] == ["a/1.mp4", "b/1.mp4"]
    assert clips.empty_folders(tmp_path, found, depth=1) == ["empty"]


def test_a_class_folder_linked_from_elsewhere_is_told_with_what_to_do(tmp_path: Path) -> None:
    make(tmp_path, "data/a/1.mp4", "my clips/dive/1.mp4")
    link, target = tmp_path / "data/dive", tmp_path / "my clips/dive"
    link.symlink_to(target)
    with pytest.raises(clips.ClipsError, match="links to elsewhere: dive → ") as error:
        clips.find_clips(tmp_path / "data")
    command = str(error.value).split("`")[1]
    subprocess.run(command, shell=True, check=True)  # noqa: S602
    assert len(clips.find_clips(tmp_path / "data")) == 2
    shutil.rmtree(link)
    link.symlink_to(tmp_path / "gone")
    with pytest.raises(clips.ClipsError, match="links to nothing: dive → "):
        clips.find_clips(tmp_path / "data")


def test_two_files_whose_names_look_alike_are_two_clips_of_one_class(tmp_path: Path) -> None:
    make(tmp_path, "caf\u00e9/1.mp4", "cafe\u0301/1.mp4", "b/e\u0301.mp4", "b/\u00e9.mp4")
    found = clips.find_clips(tmp_path)
    assert len(found) == 4
    assert {clip.label for clip in found} == {"b", "caf\u00e9"}
    names = clips.Names(clip.name for clip in found)
    assert names.meant("b/e\u0301.mp4") == ["b/e\u0301.mp4"]
    assert names.meant(" .\\b\\\u00e9.mp4 ") == ["b/\u00e9.mp4"]
    assert names.meant("b/none.mp4") == []
