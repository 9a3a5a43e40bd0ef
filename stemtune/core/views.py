"""Views of frames: as they are, mirrored, moved a little. Augmentation trains on them as well.

A frame and its views show the same things, so they have one label.
"""

import numpy as np

# How far each view is moved down and to the right, as shares of the frame's side. View 0 is the
# frame itself; every second one is mirrored.
MOVES = (
    (0, 0),
    (0, 0),
    (1 / 20, 0),
    (-1 / 20, 0),
    (0, 1 / 20),
    (0, -1 / 20),
    (1 / 40, 1 / 40),
    (-1 / 40, -1 / 40),
)
# How many of them each kind of augmentation shows.
NUMBERS = {"none": 1, "flip": 2, "shift": len(MOVES)}


def view(frames: np.ndarray, number: int) -> np.ndarray:
    """Returns a view of frames (n, side, side, 3), uint8.

    Pixels that a move leaves empty are filled by mirroring at the border.

    Args:
        frames: Frames.
        number: From 0 up to, but not including, the number of `MOVES`.
    """
    side = frames.shape[1]
    down, right = (round(share * side) for share in MOVES[number])
    shown = frames[:, :, ::-1] if number % 2 else frames
    margin = max(abs(down), abs(right))
    if not margin:
        return shown
    padded = np.pad(shown, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="reflect")
    top, left = margin - down, margin - right
    return padded[:, top : top + side, left : left + side]
