"""Tells by perceptual hashes which clips show the same footage.

pHash: the signs of a frame's lowest frequencies against their median (Zauner, 2010), 64 bits.
Recoding, scaling and small changes of light flip few of them; other scenes differ in about half.
"""

from collections.abc import Iterator, Sequence

import numpy as np

# A frame with less contrast shows nothing that could tell footage apart: black, a fade.
MIN_HASHED_CONTRAST = 4.0


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
    clips: Sequence[Sequence[str]], free: int, bits: int
) -> Iterator[tuple[list[int], int | None]]:
    """Yields the sets of clips that share footage.

    Two clips do when at least half of the frames of either one differ from some frame of the other
    in at most `bits` bits. Sets are closed: what shares footage with a member is a member.

    Args:
        clips: The hashes of each clip.
        free: How many of the clips, from the first, are to be put together; the rest is compared
            with them but not among itself.
        bits: From 0 to 31.

    Yields:
        Positions of free clips, and among the rest, counted from its first, the one nearest to any
        of them, if any shares footage with them. Free clips that share with none are not yielded.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = list(_pairs(clips, free, bits))
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


def _pairs(
    clips: Sequence[Sequence[str]], free: int, bits: int
) -> Iterator[tuple[int, int, float]]:
    """Yields pairs that share footage, the first one free, with the mean distance of frames."""
    filled = [clip for clip, values in enumerate(clips) if values]
    every = np.array([int(value, 16) for clip in filled for value in clips[clip]], np.uint64)
    counts = np.array([len(clips[clip]) for clip in filled], int)
    starts = np.concatenate([[0], np.cumsum(counts)])
    for position, clip in enumerate(filled[:-1]):
        if clip >= free:
            return
        begin, end = starts[position : position + 2]
        own, rest = every[begin:end], every[end:]
        distances = np.bitwise_count(own[:, None] ^ rest[None, :])
        first_frames = starts[position + 1 : -1] - end
        # How far each frame of the clip is from every later clip, and each of their frames from it.
        from_own = np.minimum.reduceat(distances, first_frames, axis=1)
        from_rest = distances.min(axis=0)
        near_own = (from_own <= bits).sum(axis=0) * 2 >= len(own)
        near_rest = np.add.reduceat(from_rest <= bits, first_frames, dtype=int)
        for other in np.flatnonzero(near_own | (near_rest * 2 >= counts[position + 1 :])):
            yield clip, filled[position + 1 + other], float(from_own[:, other].mean())
