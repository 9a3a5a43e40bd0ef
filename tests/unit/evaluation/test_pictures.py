"""Which frames are shown, and how what a stem hands on is made visible."""

import base64
import io

import matplotlib.image
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


def test_a_stem_that_hands_on_nothing_is_black() -> None:
    with np.errstate(all="raise"):
        assert pictures.visible(np.zeros((1, 4, 4, 3), np.float32)).max() == 0


def test_pictures_are_made_smaller_to_fit_and_the_last_left_out() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (300, 300, 3), np.uint8)
    example = pictures.Example(
        "a", "a", dict.fromkeys(("stored", "resize", "as_published"), noise), {}
    )
    sizes = {}
    for room in (2_000_000, 1_000_000, 250_000, 60_000, 0):
        found = pictures.embedded([example] * 2, room)
        assert sum(len(address) for row in found for address in row.values()) <= room
        sizes[room] = [
            (name, PIL.Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))).width)
            for name, address in found[0].items()
        ]
    every = ("stored", "resize", "as_published")
    assert sizes[2_000_000] == [(name, 224) for name in every]
    assert sizes[1_000_000] == [(name, 168) for name in every]
    assert sizes[250_000] == [("stored", 112), ("resize", 112)]
    assert sizes[60_000] == sizes[0] == []


def test_a_png_holds_the_pixels_and_nothing_that_changes() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
    stored = pictures.png(picture)
    assert stored == pictures.png(picture)
    assert b"Software" not in stored
    read = matplotlib.image.imread(io.BytesIO(stored), format="png")
    assert np.array_equal((255 * read[:, :, :3]).round().astype(np.uint8), picture)
