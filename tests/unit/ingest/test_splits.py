"""How frames are dealt: by the group alone, at the shares asked for."""

from collections import Counter
from pathlib import Path

import pytest

from stemtune.core.settings.frames import Split, SplitFolders, SplitLists
from stemtune.ingest import splits
from stemtune.ingest.clips import Clip, ClipsError

BY_GROUP = Split(by="group", lists=None, folders=None, validation=0.2, test=0.3, seed=1)

LISTS = SplitLists(train="trainlist01.txt", test="testlist01.txt")


def deal(number: int, frames: int, split: Split, given: splits.Given | None = None) -> list[str]:
    """Deals the frames of one of many clips of the group `home`."""
    clip = Clip(f"a/{number}.mp4", Path(), "a", f"{number:064x}", "")
    return splits.frame_splits(clip, "home", frames, split, given)


def named(*names: str) -> list[Clip]:
    return [Clip(name, Path(name), "a", name, "") for name in names]


def test_shares_hold_over_many_groups() -> None:
    dealt = Counter(splits.split_of(f"group {number}", BY_GROUP) for number in range(10_000))
    assert abs(dealt["test"] / 10_000 - 0.3) < 0.015
    assert abs(dealt["validation"] / 10_000 - 0.2) < 0.015


def test_a_group_stays_together_and_another_seed_deals_anew() -> None:
    dealt = [deal(number, 3, BY_GROUP) for number in range(20)]
    assert len({split for frames in dealt for split in frames}) == 1
    other = BY_GROUP.model_copy(update={"seed": 2})
    groups = [f"group {number}" for number in range(100)]
    assert [splits.split_of(group, BY_GROUP) for group in groups] != [
        splits.split_of(group, other) for group in groups
    ]


def test_by_clip_parts_a_group_and_by_frame_parts_a_clip() -> None:
    by_clip = BY_GROUP.model_copy(update={"by": "clip"})
    dealt = [deal(number, 4, by_clip) for number in range(30)]
    assert all(len(set(frames)) == 1 for frames in dealt)
    assert {frames[0] for frames in dealt} == {"train", "validation", "test"}
    by_frame = BY_GROUP.model_copy(update={"by": "frame"})
    assert set(deal(1, 200, by_frame)) == {"train", "validation", "test"}


def test_a_boosted_share_only_moves_clips_into_it() -> None:
    more = BY_GROUP.model_copy(update={"test": 0.4})
    groups = [f"group {number}" for number in range(500)]
    for group in groups:
        if splits.split_of(group, BY_GROUP) == "test":
            assert splits.split_of(group, more) == "test"


def test_official_lists_say_what_is_test_and_validation_comes_out_of_train(tmp_path: Path) -> None:
    (tmp_path / "trainlist01.txt").write_text(
        "".join(f"a/{number}.mp4 1\r\n" for number in range(100)) + "a/two words.mp4 1\n"
    )
    (tmp_path / "testlist01.txt").write_text("a/100.mp4\na/101.mp4\n")
    found = named(*(f"a/{number}.mp4" for number in range(110)), "a/two words.mp4", "a/other.mp4")
    by_clip = BY_GROUP.model_copy(update={"by": "clip", "lists": LISTS})
    lists = splits.given(found, tmp_path, by_clip)
    assert lists is not None
    assert lists["a/two words.mp4"] == "train"
    assert len(lists) == 103
    dealt = Counter(deal(number, 1, by_clip, lists)[0] for number in range(100))
    assert dealt["test"] == 0
    assert 10 <= dealt["validation"] <= 30
    assert deal(100, 2, by_clip, lists) == ["test", "test"]

    (tmp_path / "testlist01.txt").write_text("a/5.mp4\n")
    with pytest.raises(ClipsError, match=r"a/5.mp4 is in trainlist01.txt and in testlist01.txt"):
        splits.given(found, tmp_path, by_clip)
    with pytest.raises(ClipsError, match=r"name none of the 1 clips .* like a/5.avi; .* a/0.mp4 1"):
        splits.given(named("a/5.avi"), tmp_path, by_clip)
    (tmp_path / "testlist01.txt").unlink()
    with pytest.raises(ClipsError, match=r"testlist01.txt is missing"):
        splits.given(found, tmp_path, by_clip)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_the_first_clip_of_a_list_is_read_whatever_wrote_the_list(
    tmp_path: Path, encoding: str
) -> None:
    by_lists = BY_GROUP.model_copy(update={"lists": LISTS})
    composed, decomposed = "a/caf\u00e9.mp4", "a/cafe\u0301.mp4"
    (tmp_path / LISTS.train).write_bytes(f"{composed} 1\r\n.\\a\\2.mp4 \r\n".encode(encoding))
    (tmp_path / LISTS.test).write_bytes(f"{decomposed[:-1]}3\r\na/take 3\r\n".encode(encoding))
    found = named(decomposed, "a/2.mp4", f"{composed[:-1]}3", "a/take 3", "a/unlisted.mp4")
    assert splits.given(found, tmp_path, by_lists) == {
        decomposed: "train",
        "a/2.mp4": "train",
        f"{composed[:-1]}3": "test",
        "a/take 3": "test",
    }


def test_folders_say_what_is_test_and_validation_is_theirs_or_comes_out_of_train() -> None:
    folders = SplitFolders(train="train", validation="val", test="test")
    given = BY_GROUP.model_copy(update={"folders": folders})
    clips = [
        Clip(f"{split}/a/{number}.mp4", Path(), "a", "", "", split)
        for split in ("train", "validation", "test")
        for number in range(100)
    ]
    at = splits.given(clips, Path(), given)
    assert {
        splits.frame_splits(each, each.name, 2, given, at) == [each.split] * 2 for each in clips
    } == {True}
    dealt = given.model_copy(update={"folders": folders.model_copy(update={"validation": None})})
    drawn = Counter(
        (each.split, splits.frame_splits(each, each.name, 1, dealt, at)[0]) for each in clips
    )
    assert drawn["test", "test"] == 100
    assert 8 <= drawn["train", "validation"] <= 35
    assert drawn["train", "test"] == 0
