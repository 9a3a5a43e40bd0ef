"""Which frames are shown, and how what a stem hands on is made visible."""

import io

import matplotlib.image
import numpy as np
import pandas as pd

from stemtune import pictures


def test_one_frame_of_each_class_is_shown_spread_over_many_classes() -> None:
    few = pd.DataFrame({"class": list("aabbb")})
    assert pictures.choose(few) == [0, 2]
    many = pd.DataFrame({"class": [f"c{number // 3:02}" for number in range(30)]})
    assert pictures.choose(many) == [0, 9, 18, 27]


def test_frames_of_a_stem_are_scaled_alike() -> None:
    frames = np.zeros((2, 10, 10, 3), np.float32)
    frames[0], frames[1] = 2, 8
    shown = pictures.visible(frames)
    assert shown.dtype == np.uint8
    assert np.unique(shown[0]).tolist() == [64]
    assert np.unique(shown[1]).tolist() == [255]


def test_a_few_bright_pixels_do_not_darken_the_rest() -> None:
    frames = np.ones((1, 100, 100, 3), np.float32)
    frames[0, 0, 0] = 1000
    assert pictures.visible(frames).min() == 255


def test_a_stem_that_hands_on_nothing_is_black() -> None:
    with np.errstate(all="raise"):
        assert pictures.visible(np.zeros((1, 4, 4, 3), np.float32)).max() == 0


def test_a_png_holds_the_pixels_and_nothing_that_changes() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
    stored = pictures.png(picture)
    assert stored == pictures.png(picture)
    assert b"Software" not in stored
    read = matplotlib.image.imread(io.BytesIO(stored), format="png")
    assert np.array_equal((255 * read[:, :, :3]).round().astype(np.uint8), picture)
