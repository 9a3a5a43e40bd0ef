"""Which clips are found, and which group each belongs to."""

from pathlib import Path

import pytest

from stemtune import clips


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def test_class_group_and_order(tmp_path: Path) -> None:
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
    assert found[2].group == found[3].group == "v_Dive_g03"
    assert found[0].group != found[1].group


def test_groups_csv_comes_first(tmp_path: Path) -> None:
    make(tmp_path, "a/1.mp4", "a/2.mp4", "b/v_Dive_g03_c01.avi")
    (tmp_path / "groups.csv").write_text("clip,group\na/1.mp4,home\nb/v_Dive_g03_c01.avi,home\n")
    found = clips.find_clips(tmp_path)
    assert [clip.group for clip in found][::2] == ["home", "home"]
    assert found[1].group.startswith("clip ")


def test_copies_of_one_clip_share_a_group(tmp_path: Path) -> None:
    make(tmp_path, "a/1.mp4", "b/x.mp4")
    (tmp_path / "a/copy.mp4").write_bytes((tmp_path / "a/1.mp4").read_bytes())
    first, copy, _ = clips.find_clips(tmp_path)
    assert first.group == copy.group


@pytest.mark.parametrize(
    ("files", "groups", "said"),
    [
        ([], None, "0 class"),
        (["a/1.mp4"], None, "1 class"),
        (["a/1.mp4", "b/1.mp4", "stray.mp4"], None, "stray.mp4"),
        (["a/1.mp4", "b/1.mp4"], "clip,group\na/9.mp4,x\n", "a/9.mp4"),
        (["a/1.mp4", "b/1.mp4"], "name,group\na/1.mp4,x\n", "clip,group"),
        (["a/1.mp4", "b/1.mp4"], "clip,group\na/1.mp4\n", "line 2"),
        (["a/1.mp4", "b/1.mp4"], "clip,group\na/1.mp4,x\na/1.mp4,y\n", "one group"),
    ],
)
def test_what_cannot_be_used_is_refused(
    tmp_path: Path, files: list[str], groups: str | None, said: str
) -> None:
    make(tmp_path, *files)
    if groups:
        (tmp_path / "groups.csv").write_text(groups)
    with pytest.raises(clips.ClipsError, match=said):
        clips.find_clips(tmp_path)


def test_a_missing_folder_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(clips.ClipsError, match=r"dvc pull data.dvc"):
        clips.find_clips(tmp_path / "data")
