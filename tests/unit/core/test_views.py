"""Views of frames: what a user would see of them."""

import numpy as np

from stemtune.core.views import MOVES, NUMBERS, view

SIDE = 40
FRAMES = np.random.default_rng(1).integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)


def test_views_are_the_frames_mirrored_and_moved_and_no_two_are_alike() -> None:
    shown = [view(FRAMES, number) for number in range(NUMBERS["shift"])]
    assert all(one.shape == FRAMES.shape and one.dtype == np.uint8 for one in shown)
    assert len({one.tobytes() for one in shown}) == len(MOVES)
    assert np.array_equal(shown[0], FRAMES)
    assert np.array_equal(shown[1], FRAMES[:, :, ::-1])
    # A twentieth of 40 px down; what that leaves free mirrors what lies inside.
    assert np.array_equal(shown[2][:, 2:], FRAMES[:, :-2])
    assert np.array_equal(shown[2][:, :2], FRAMES[:, 2:0:-1])
    # To the left, mirrored.
    assert np.array_equal(shown[5][:, :, :-2], FRAMES[:, :, ::-1][:, :, 2:])


def test_what_flips_shows_frames_and_their_mirror_images_alone() -> None:
    assert NUMBERS == {"none": 1, "flip": 2, "shift": 8}
