"""Which clips are found, and what is said of those that cannot be read."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench import project
from stemtune.core.errors import InputError
from stemtune.ingest import clips
from tests.support.project import ROOT

# Python reads names as ASCII then, as it reads them as Latin-1 in such a locale.
NOT_UTF8 = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


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


def test_two_folders_that_link_to_each_other_are_walked_once_each(tmp_path: Path) -> None:
    make(tmp_path, "a/1.mp4", "b/2.mp4")
    for link, target in (("a/x", "../b"), ("b/y", "../a")):
        (tmp_path / link).symlink_to(target)
    found = {clip.name: clip.problem for clip in clips.find_clips(tmp_path)}
    circle = "is a link to a folder that it lies in"
    assert found == {
        "a/1.mp4": "", "a/x/2.mp4": "", "a/x/y": circle,
        "b/2.mp4": "", "b/y/1.mp4": "", "b/y/x": circle,
    }  # fmt: skip


def test_two_files_whose_names_look_alike_are_two_clips_of_one_class(tmp_path: Path) -> None:
    make(tmp_path, "caf\u00e9/1.mp4", "cafe\u0301/1.mp4", "b/e\u0301.mp4", "b/\u00e9.mp4")
    found = clips.find_clips(tmp_path)
    assert len(found) == 4
    assert {clip.label for clip in found} == {"b", "caf\u00e9"}
    names = clips.Names(clip.name for clip in found)
    assert names.meant("b/e\u0301.mp4") == ["b/e\u0301.mp4"]
    assert names.meant(" .\\b\\\u00e9.mp4 ") == ["b/\u00e9.mp4"]
    assert names.meant("b/none.mp4") == []


def test_names_are_utf8_whatever_this_process_reads_them_as(tmp_path: Path) -> None:
    make(tmp_path, "café/é 日本.mp4", "b/1.mp4", "žádný/.hidden")
    program = (
        "import sys, pathlib; from stemtune.ingest import clips; from stemtune.core import errors\n"
        "data = pathlib.Path(sys.argv[1]); found = clips.find_clips(data)\n"
        "told = [(clip.label, clip.name, clip.problem) for clip in found]\n"
        "print(ascii(told))"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | NOT_UTF8, capture_output=True, text=True, check=True
    )
    told = [("b", "b/1.mp4", ""), ("café", "café/é 日本.mp4", "")]
    assert done.stdout.strip() == ascii(told)


def test_a_class_whose_name_is_not_utf8_is_quarantined_and_can_be_shown(tmp_path: Path) -> None:
    make(tmp_path, "a/1.mp4", "b/1.mp4")
    for name in (b"caf\xe9", b"empty \xff"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9/1.mp4")).write_bytes(b"x")
    found = clips.find_clips(tmp_path)
    assert {clip.name: clip.problem for clip in found} == {
        "a/1.mp4": "",
        "b/1.mp4": "",
        "caf\\xe9/1.mp4": clips.NOT_UTF8,
    }


def test_data_that_dvc_tracks_in_parts_are_refused_with_what_to_do(tmp_path: Path) -> None:
    make(tmp_path, "data/a b/1.mp4", "data/b/2.mp4", "data/b/a clip of mine.dvc")
    data = tmp_path / "data"
    assert len(clips.find_clips(data)) == 3
    (data / "b/a clip of mine.dvc").unlink()
    project.prepare(tmp_path)
    project.run(tmp_path, "dvc", "add", "--quiet", "data/a b", "data/b/2.mp4")
    project.run(tmp_path, "git", "add", "data")
    with pytest.raises(clips.ClipsError, match="a part of it each: a b.dvc, b/2.mp4.dvc") as error:
        clips.find_clips(data)
    commands = str(error.value).split("\n\n")[1].replace(str(data), "data")
    project.run(tmp_path, "sh", "-ec", commands.replace(".venv/bin/", ""))
    assert [clip.name for clip in clips.find_clips(data)] == ["a b/1.mp4", "b/2.mp4"]
    assert "nfiles: 2" in (tmp_path / "data.dvc").read_text()


def test_names_that_dvc_takes_for_others_are_refused(tmp_path: Path) -> None:
    """DVC would write names of its own into data.dvc, for others to check out."""
    make(tmp_path, "data/café/1.mp4", "data/b/1.mp4")
    program = (
        # As it is in such a locale, which need not be installed here.
        "import locale; locale.getencoding = lambda: 'ISO-8859-1'\n"
        "from pathlib import Path; from stemtune.core import errors, params\n"
        "from stemtune.ingest import clips\n"
        f"settings = params.load(Path({str(ROOT / 'params.yaml')!r})).extract_frames\n"
        "errors.run('stage', lambda: print(len(clips.find(Path('data'), settings))))"
    )
    (tmp_path / "dvc").write_text(
        "import os, subprocess, sys\n"
        "command = [sys.executable, '-c', os.environ['PROGRAM']]\n"
        "utf8 = os.environ | {'PYTHONUTF8': '1'}\n"
        "sys.exit(subprocess.run(command, env=utf8).returncode)\n"
    )
    variables = project.inherited() | {"PROGRAM": program, "PYTHONPATH": str(ROOT)}
    variables.pop("PYTHONUTF8", None)
    status, printed = project.attempt(tmp_path, [sys.executable, "dvc"], variables)
    assert status == 1
    assert "names of files in ISO-8859-1" in printed
    assert "takes café/1.mp4 for other names. Run `export PYTHONUTF8=1`" in printed
    variables["PYTHONUTF8"] = "1"
    assert project.attempt(tmp_path, [sys.executable, "dvc"], variables) == (0, "2\n")
