"""Which clips share a group: by table, by name, by what they show."""

from pathlib import Path

import numpy as np
import pytest

from stemtune.ingest import groups, near_duplicates
from stemtune.ingest.clips import Clip, ClipsError


def clip(name: str, content: str = "") -> Clip:
    return Clip(name, Path(name), name.split("/")[0], content or f"sha of {name}", "")


def names(
    found: list[Clip],
    table: dict[str, str] | None = None,
    seen: dict[str, groups.Footage] | None = None,
    near_duplicates: int | None = 10,
) -> list[str]:
    rows = groups.of_clips(table or {}, [each.name for each in found])
    by_name = groups.assign(found, rows, seen or {}, near_duplicates)
    return [by_name[each.name].name for each in found]


def scene(seed: int) -> np.ndarray:
    """Draws a picture of soft shapes (96, 96, 3), uint8."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    return np.kron(coarse, np.ones((16, 16, 1), np.uint8))


def shown(*frames: np.ndarray, duration: float = 2.0) -> groups.Footage:
    return groups.Footage(near_duplicates.hashes(np.stack(frames)), duration)


def test_groups_csv_comes_before_the_name_and_copies_follow(tmp_path: Path) -> None:
    (tmp_path / "groups.csv").write_text("clip,group\na/1.mp4,home\nb/v_Dive_g03_c01.avi,home\n")
    table = groups.read_table(tmp_path / "groups.csv")
    found = [
        clip("a/1.mp4"),
        clip("a/2.mp4"),
        clip("b/v_Dive_g03_c01.avi"),
        clip("b/v_Dive_g03_c02.avi"),
        clip("b/copy of 1.mp4", "sha of a/1.mp4"),
    ]
    assert names(found, table) == ["home", "clip sha of a/2.mp4", "home", "v_Dive_g03", "home"]


def test_two_cuts_of_one_video_share_a_group_named_after_the_longer() -> None:
    found = [clip("a/long.mp4"), clip("a/other.mp4"), clip("b/cut.mp4")]
    brighter = np.minimum(scene(1).astype(int) + 12, 255).astype(np.uint8)
    seen = {
        found[0].sha256: shown(*(scene(seed) for seed in (1, 2, 5, 6)), duration=9),
        found[1].sha256: shown(scene(3), scene(4)),
        found[2].sha256: shown(brighter, duration=3),
    }
    alone = names(found[:2], seen={content: seen[content] for content in list(seen)[:2]})
    together = names(found, seen=seen)
    assert together[2] == together[0] == alone[0]
    assert together[1] == alone[1] != together[0]
    assert len(set(names(found, seen=seen, near_duplicates=None))) == 3


def test_a_cut_of_a_clip_with_a_group_joins_it_and_given_groups_are_left_apart() -> None:
    found = [clip("a/1.mp4"), clip("a/2.mp4"), clip("b/3.mp4")]
    seen = {each.sha256: shown(scene(1)) for each in found}
    table = {"a/1.mp4": "home", "a/2.mp4": "away"}
    assert names(found, table, seen)[:2] == ["home", "away"]
    assert names(found, table, seen)[2] in ("home", "away")


def test_what_shares_footage_with_a_member_is_a_member() -> None:
    found = [clip(f"a/{number}.mp4") for number in range(4)]
    seen = {
        found[number].sha256: shown(scene(number), scene(number + 1)) for number in range(3)
    } | {found[3].sha256: shown(scene(90), scene(91))}
    grouped = names(found, seen=seen)
    assert len(set(grouped[:3])) == 1
    assert grouped[3] != grouped[0]


def test_black_frames_tell_nothing() -> None:
    black = np.zeros((96, 96, 3), np.uint8)
    found = [clip("a/1.mp4"), clip("a/2.mp4")]
    seen = {found[0].sha256: shown(black, scene(1)), found[1].sha256: shown(black, black)}
    assert len(set(names(found, seen=seen))) == 2


def test_given_groups_that_share_a_content_are_one_however_they_were_given() -> None:
    found = [
        clip("a/v_Dive_g03_c01.avi", "one"),
        clip("a/v_Dive_g07_c01.avi", "one"),
        clip("a/v_Dive_g07_c02.avi"),
        clip("a/1.mp4", "two"),
        clip("a/2.mp4", "two"),
        clip("a/3.mp4"),
        clip("a/v_Dive_g09_c01.avi", "two"),
        clip("a/v_Dive_g10_c01.avi"),
    ]
    grouped = names(found, {"a/1.mp4": "home", "a/2.mp4": "away", "a/3.mp4": "home"})
    assert grouped == ["v_Dive_g03"] * 3 + ["away"] * 4 + ["v_Dive_g10"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name,group\na/1.mp4,x\n", "clip,group"),
        ("clip,group\na/1.mp4\n", "line 2"),
        ("clip,group\na/1.mp4,x\na/1.mp4,y\n", "one group"),
        ("clip|group\n", r"the header is 'clip\|group'"),
        ("clip,group\na/1.mp4,Scene 7\nb/1.mp4,scene  7\n", "Scene 7 and scene  7"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "groups.csv").write_text(content)
    with pytest.raises(ClipsError, match=said):
        groups.read_table(tmp_path / "groups.csv")


def test_a_table_that_names_a_missing_clip_is_refused() -> None:
    with pytest.raises(
        ClipsError, match=r"1 clip\(s\) that do not exist: a/9.mp4;.* such as a/1.mp4"
    ):
        names([clip("a/1.mp4")], {"a/9.mp4": "x"})


@pytest.mark.parametrize(
    ("encoding", "separator"), [("utf-8", ","), ("utf-8-sig", ";"), ("utf-16", "\t")]
)
def test_a_table_is_read_as_spreadsheets_write_it(
    tmp_path: Path, encoding: str, separator: str
) -> None:
    rows = [
        ["Clip", "group"],
        [".\\a\\caf\u00e9.mp4", "home"],
        ["a/2.mp4", " two words "],
        ["", ""],
    ]
    text = "".join(separator.join(row) + "\r\n" for row in rows)
    (tmp_path / "groups.csv").write_bytes(text.encode(encoding))
    table = groups.read_table(tmp_path / "groups.csv")
    found = [clip("a/cafe\u0301.mp4"), clip("a/2.mp4")]
    assert names(found, table) == ["home", "two words"]
    table["a/cafe\u0301.mp4"] = "away"
    with pytest.raises(ClipsError, match="in two ways, in group home and in away"):
        names(found, table)
