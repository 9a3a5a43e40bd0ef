"""Tells by perceptual hashes which clips show the same footage.

pHash: the signs of a frame's lowest frequencies against their median (Zauner, 2010), 64 bits.
Recoding, scaling and small changes of light flip few of them; other scenes differ in about half.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from stemtune.core.errors import InputError

HASH_BITS = 64
# A frame with less contrast shows nothing that could tell footage apart: black, a fade.
MIN_HASHED_CONTRAST = 4.0
# So many pairs of frames are compared at once: a processor's cache holds them.
COMPARED_AT_ONCE = 2**18
# Pairs of clips with like frames: some for each clip, and some more, as few clips cost little. Past
# that nearly all look alike, and time and memory would grow with the square of the clips.
MOST_PAIRS_OF_A_CLIP, MOST_PAIRS_MORE = 100, 200_000


class TooAlikeError(InputError):
    """So many clips look alike that they are not compared with one another."""


class Frames(NamedTuple):
    """The frames of all clips, those of one clip side by side.

    Attributes:
        hashes: (frames,) uint64.
        clips: (frames,) int, which clip each frame is of, ascending.
        starts: (clips + 1,) int, where the frames of each clip begin.
    """

    hashes: np.ndarray
    clips: np.ndarray
    starts: np.ndarray


def hashes(frames: np.ndarray) -> list[str]:
    """Returns the perceptual hashes of frames (n, side, side, 3), uint8, as 16 hexadecimal digits.

    Frames that show next to nothing have none.
    """
    import imagehash
    from PIL import Image

    return [
        str(imagehash.phash(Image.fromarray(frame)))
        for frame in frames
        if frame.std() >= MIN_HASHED_CONTRAST
    ]


def clusters(
    clips: Sequence[Sequence[str]],
    free: int,
    bits: int,
    confirm: Callable[[int, int], bool] = lambda *_: True,
) -> Iterator[tuple[list[int], int | None]]:
    """Yields the sets of clips that share footage.

    Two clips do when at least half of the frames of either one differ from some frame of the other
    in at most `bits` bits. Sets are closed: what shares footage with a member is a member.

    Args:
        clips: The hashes of each clip.
        free: How many of the clips, from the first, are to be put together; the rest is compared
            with them but not among itself.
        bits: From 0 to 31.
        confirm: Tells of two positions whether they share footage, if their hashes say so.

    Raises:
        TooAlikeError: Nearly all look alike.

    Yields:
        Positions of free clips, and among the rest, counted from its first, the one nearest to any
        of them, if any shares footage with them. Free clips that share with none are not yielded.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    counts = [len(values) for values in clips]
    frames = Frames(
        hashes=np.array([int(value, 16) for values in clips for value in values], np.uint64),
        clips=np.repeat(np.arange(len(clips)), counts),
        starts=np.concatenate([[0], np.cumsum(counts, dtype=int)]),
    )
    pairs = [pair for pair in _pairs(frames, free, bits) if confirm(*pair[:2])]
    among = np.array([pair[:2] for pair in pairs if pair[1] < free], int).reshape(-1, 2)
    links = coo_array((np.ones(len(among), bool), among.T), shape=(free, free))
    _, labels = connected_components(links, directed=False)
    nearest: dict[int, tuple[float, int]] = {}
    for clip, other, distance in pairs:
        if other >= free:
            label = labels[clip]
            nearest[label] = min(nearest.get(label, (np.inf, 0)), (distance, other - free))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label).tolist()
        if label in nearest:
            yield members, nearest[label][1]
        elif len(members) > 1:
            yield members, None


def _pairs(frames: Frames, free: int, bits: int) -> Iterator[tuple[int, int, float]]:
    """Yields pairs that share footage, the first one free, with the mean distance of frames."""
    for clip, others in _with_a_near_frame(frames, free, bits):
        own = frames.hashes[slice(*frames.starts[clip : clip + 2])]
        counts = frames.starts[others + 1] - frames.starts[others]
        distances = np.bitwise_count(
            own[:, None] ^ frames.hashes[_ranges(frames.starts[others], counts)]
        )
        firsts = np.cumsum(counts) - counts
        # How far each frame of the clip is from every other clip, and each of their frames from it.
        from_own = np.minimum.reduceat(distances, firsts, axis=1)
        from_others = distances.min(axis=0)
        near_own = (from_own <= bits).sum(axis=0) * 2 >= len(own)
        near_others = np.add.reduceat(from_others <= bits, firsts, dtype=int) * 2 >= counts
        for place in np.flatnonzero(near_own | near_others):
            yield clip, int(others[place]), float(from_own[:, place].mean())


def _with_a_near_frame(frames: Frames, free: int, bits: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yields each free clip and the later clips with a frame that is near one of its frames."""
    total, found = len(frames.starts) - 1, [np.empty(0, int)]
    most = MOST_PAIRS_MORE + MOST_PAIRS_OF_A_CLIP * total
    for one, other in _near_frames(frames.hashes, frames.clips < free, bits):
        clips, others = frames.clips[one], frames.clips[other]
        # As one number a pair is sorted, and found again, at once.
        found.append(np.unique((clips * total + others)[clips < others]))
        if sum(map(len, found)) > 2 * most:
            # A pair is found by several of its frames.
            found = [np.unique(np.concatenate(found))]
            if len(found[0]) > most:
                raise TooAlikeError(
                    f"{total} clips look so much alike that more than {most} pairs of them have "
                    "like frames, as clips of fixed cameras have"
                )
    clips, others = np.divmod(np.unique(np.concatenate(found)), max(total, 1))
    each, firsts = np.unique(clips, return_index=True)
    yield from zip(each.tolist(), np.split(others, firsts[1:]), strict=False)


def _near_frames(
    hashes: np.ndarray, asked: np.ndarray, bits: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields positions of frames that differ in at most `bits` bits, some more than once.

    Multi-index hashing (Norouzi, Punjani and Fleet, 2012): of hashes that are cut into n parts, two
    that differ in few bits differ in at most bits // n of them in one of the parts. So a frame is
    compared with those alone whose part is one of the few that are as near.

    Args:
        hashes: (frames,) uint64.
        asked: (frames,) bool, which frames are to be the first of a pair.
        bits: From 0 to 31.
    """
    parts = min(range(3, bits + 4), key=lambda parts: _effort(len(hashes), bits, parts))
    for low, high in itertools.pairwise(HASH_BITS * part // parts for part in range(parts + 1)):
        values = (hashes >> np.uint64(low)).astype(np.int64) & (2 ** (high - low) - 1)
        # Sorted by their part, those that are compared are side by side.
        order = np.argsort(values, kind="stable")
        values, ordered = values[order], hashes[order]
        starts = np.searchsorted(values, np.arange(2 ** (high - low) + 1))
        first = np.flatnonzero(asked[order])
        for flipped in _flips(high - low, bits // parts):
            begins = starts[values[first] ^ flipped]
            counts = starts[(values[first] ^ flipped) + 1] - begins
            every = np.arange(COMPARED_AT_ONCE, counts.sum(), COMPARED_AT_ONCE)
            for some in np.split(np.arange(len(first)), np.searchsorted(np.cumsum(counts), every)):
                one = np.repeat(first[some], counts[some])
                other = _ranges(begins[some], counts[some])
                near = np.bitwise_count(ordered[one] ^ ordered[other]) <= bits
                yield order[one[near]], order[other[near]]


def _effort(frames: int, bits: int, parts: int) -> float:
    """Estimates the steps of `_near_frames` with `parts` parts, for evenly spread hashes."""
    width = HASH_BITS // parts
    flips = sum(math.comb(width, flipped) for flipped in range(bits // parts + 1))
    return parts * flips * frames * (1 + frames / 2**width)


def _flips(width: int, most: int) -> Iterator[int]:
    """Yields each number of `width` bits with at most `most` of them set."""
    for count in range(most + 1):
        for places in itertools.combinations(range(width), count):
            yield sum(1 << place for place in places)


def _ranges(begins: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Returns the numbers from each begin on, as many as its count, one range after the other."""
    return np.arange(counts.sum()) + np.repeat(begins - (np.cumsum(counts) - counts), counts)
