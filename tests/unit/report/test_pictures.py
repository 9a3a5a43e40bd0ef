"""Which frames are shown, and how a stem's output is made visible."""

import base64
import io

import numpy as np
import pandas as pd
import PIL.Image

from stemtune.report import pictures


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


def test_the_output_of_a_dead_stem_is_black() -> None:
    with np.errstate(all="raise"):
        assert pictures.visible(np.zeros((1, 4, 4, 3), np.float32)).max() == 0


def test_a_picture_fits_and_holds_its_pixels_and_nothing_that_changes() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (30, 30, 3), np.uint8)
    for exact, side in ((True, 30), (True, 12), (False, 12)):
        address = pictures.address(noise, side, exact)
        assert address == pictures.address(noise, side, exact)
        read = PIL.Image.open(io.BytesIO(base64.b64decode(address.split(",")[1])))
        assert (read.format, read.size, not read.getexif()) == ("WEBP", (side, side), True)
        if exact and side == 30:
            assert np.array_equal(np.asarray(read), noise)
