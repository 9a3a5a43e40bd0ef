"""Which clips share footage is found without comparing all with all, and none is missed."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from stemtune.ingest import groups, near_duplicates
from stemtune.ingest.clips import Clip, ClipsError
from tests.support.clips import scene

Hashes = list[list[str]]
Clusters = list[tuple[list[int], int | None]]


@pytest.fixture(scope="module")
def clips() -> Hashes:
    """Hashes of cuts of 40 scenes, up to four of each, that begin at different frames."""
    random, made = np.random.default_rng(1), []
    for _ in range(120):
        frames = np.stack(scene(int(random.integers(40)), frames=12))
        start, count = int(random.integers(9)), int(random.integers(1, 4))
        cut = frames[start : start + count].astype(int) + int(random.integers(-30, 30))
        noise = random.integers(-8, 9, cut.shape)
        made.append(near_duplicates.hashes(np.clip(cut + noise, 0, 255).astype(np.uint8)))
    # One that shows nothing, and one in which a scene comes among others.
    made[7] = []
    made[8] = made[9] + made[10] + made[11]
    return made


def by_comparing_all(clips: Sequence[Sequence[str]], free: int, bits: int) -> Clusters:
    """Returns what `clusters` is said to yield, found the long way."""

    def distances(one: int, other: int) -> np.ndarray:
        return np.array(
            [[(int(a, 16) ^ int(b, 16)).bit_count() for b in clips[other]] for a in clips[one]]
        )

    def shared(found: np.ndarray) -> bool:
        near = found <= bits
        return near.any(axis=1).mean() >= 0.5 or near.any(axis=0).mean() >= 0.5

    filled = [clip for clip, values in enumerate(clips) if values]
    links: dict[int, dict[int, float]] = {clip: {} for clip in range(len(clips))}
    for one in filled:
        for other in filled:
            if one < other and one < free and shared(found := distances(one, other)):
                links[one][other] = links[other][one] = found.min(axis=1).mean()
    clusters: Clusters = []
    left = set(range(free))
    while left:
        members, new = set(), {min(left)}
        while new:
            members |= new
            new = {clip for each in new for clip in links[each] if clip < free} - members
        left -= members
        given = [
            (distance, clip - free)
            for each in members
            for clip, distance in links[each].items()
            if clip >= free
        ]
        if given or len(members) > 1:
            clusters.append((sorted(members), min(given)[1] if given else None))
    return clusters


@pytest.mark.parametrize("bits", [0, 3, 10, 17, 24, 31])
@pytest.mark.parametrize("free", [0, 50, 120])
def test_the_clusters_are_those_of_comparing_all_with_all(
    clips: Hashes, free: int, bits: int
) -> None:
    found = list(near_duplicates.clusters(clips, free, bits))
    assert sorted(found, key=str) == sorted(by_comparing_all(clips, free, bits), key=str)
    if free == 120 and bits == 10:
        assert len(found) > 20


@pytest.mark.parametrize("parts", range(3, 14))
def test_no_two_near_frames_are_missed_however_hashes_are_cut(
    clips: Hashes, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_duplicates, "_effort", lambda _, __, tried: abs(tried - parts))
    # So few at once that each step is cut.
    monkeypatch.setattr(near_duplicates, "COMPARED_AT_ONCE", 7)
    some = clips[:40]
    assert list(near_duplicates.clusters(some, 40, 10)) == by_comparing_all(some, 40, 10)


@pytest.mark.parametrize("few", [[], [[]], [["00ff00ff00ff00ff"]], [[], ["00ff00ff00ff00ff"]]])
def test_fewer_than_two_clips_share_nothing(few: Hashes) -> None:
    assert list(near_duplicates.clusters(few, len(few), 10)) == []


def test_clips_of_a_fixed_camera_end_with_advice_before_they_fill_the_memory() -> None:
    bits, camera = np.random.default_rng(1), 0x0F1E2D3C4B5A6978
    seen = {
        f"{number:04}": groups.Footage(
            [f"{camera ^ (1 << int(bit)):016x}" for bit in bits.integers(0, 64, 4)], 1.0
        )
        for number in range(1500)
    }
    found = [Clip(f"a/{content}", Path(content), "a", content, "") for content in seen]
    began = time.process_time()
    with pytest.raises(ClipsError, match="as clips of fixed cameras have") as error:
        groups.assign(found, {}, seen, 10)
    assert time.process_time() - began < 5
    assert "Set extract_frames.near_duplicates: null, or to a number below 10" in str(error.value)
    assert "say in data/groups.csv which clips are of one recording" in str(error.value)
    # Few clips that look alike are one group, as before.
    few = dict([*seen.items()][:100])
    assert len({group.name for group in groups.assign(found[:100], {}, few, 10).values()}) == 1
