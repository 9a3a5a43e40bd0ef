"""How frames are dealt: by the group alone, at the shares asked for."""

from collections import Counter
from pathlib import Path

from stemtune import splits
from stemtune.clips import Clip
from stemtune.params import Split

BY_GROUP = Split(by="group", validation=0.2, test=0.3, seed=1)


def clip(number: int, group: str) -> Clip:
    return Clip(f"a/{number}.mp4", Path(), "a", group, f"{number:064x}")


def test_shares_hold_over_many_groups() -> None:
    dealt = Counter(splits.split_of(f"group {number}", BY_GROUP) for number in range(10_000))
    assert abs(dealt["test"] / 10_000 - 0.3) < 0.015
    assert abs(dealt["validation"] / 10_000 - 0.2) < 0.015


def test_a_group_stays_together_and_another_seed_deals_anew() -> None:
    dealt = [splits.frame_splits(clip(number, "home"), 3, BY_GROUP) for number in range(20)]
    assert len({split for frames in dealt for split in frames}) == 1
    other = BY_GROUP.model_copy(update={"seed": 2})
    groups = [f"group {number}" for number in range(100)]
    assert [splits.split_of(group, BY_GROUP) for group in groups] != [
        splits.split_of(group, other) for group in groups
    ]


def test_by_clip_parts_a_group_and_by_frame_parts_a_clip() -> None:
    by_clip = BY_GROUP.model_copy(update={"by": "clip"})
    dealt = [splits.frame_splits(clip(number, "home"), 4, by_clip) for number in range(30)]
    assert all(len(set(frames)) == 1 for frames in dealt)
    assert {frames[0] for frames in dealt} == {"train", "validation", "test"}
    by_frame = BY_GROUP.model_copy(update={"by": "frame"})
    assert set(splits.frame_splits(clip(1, "home"), 200, by_frame)) == {
        "train",
        "validation",
        "test",
    }


def test_a_boosted_share_only_moves_clips_into_it() -> None:
    more = BY_GROUP.model_copy(update={"test": 0.4})
    groups = [f"group {number}" for number in range(500)]
    for group in groups:
        if splits.split_of(group, BY_GROUP) == "test":
            assert splits.split_of(group, more) == "test"
