"""How frames are dealt: by the group alone, at the shares asked for."""

from collections import Counter
from pathlib import Path

import pytest

from stemtune import splits
from stemtune.clips import Clip, ClipsError
from stemtune.params import Split, SplitLists

BY_GROUP = Split(by="group", lists=None, validation=0.2, test=0.3, seed=1)


def deal(number: int, frames: int, split: Split, lists: splits.Lists | None = None) -> list[str]:
    """Deals the frames of one of many clips of the group `home`."""
    clip = Clip(f"a/{number}.mp4", Path(), "a", f"{number:064x}", "")
    return splits.frame_splits(clip, "home", frames, split, lists)


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
    files = SplitLists(train="trainlist01.txt", test="testlist01.txt")
    lists = splits.read_lists(tmp_path, files)
    assert lists["a/two words.mp4"] == "train"
    by_clip = BY_GROUP.model_copy(update={"by": "clip"})
    dealt = Counter(deal(number, 1, by_clip, lists)[0] for number in range(100))
    assert dealt["test"] == 0
    assert 10 <= dealt["validation"] <= 30
    assert deal(100, 2, by_clip, lists) == ["test", "test"]

    (tmp_path / "testlist01.txt").write_text("a/5.mp4\n")
    with pytest.raises(ClipsError, match=r"a/5.mp4 is in trainlist01.txt and in testlist01.txt"):
        splits.read_lists(tmp_path, files)
    (tmp_path / "testlist01.txt").unlink()
    with pytest.raises(ClipsError, match=r"testlist01.txt is missing"):
        splits.read_lists(tmp_path, files)
