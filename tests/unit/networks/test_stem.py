"""The stem: its layers and its starts."""

import numpy as np
import pytest

from stemtune.core import geometry
from stemtune.networks import images, stem

SIDE = 72
STRIDES = (2, 3, 4)
KERNELS = pytest.mark.parametrize("kernels", [(7, 3), (3, 7)])
FRAMES = np.random.default_rng(2).integers(0, 256, (6, SIDE, SIDE, 3), np.uint8)


@pytest.mark.parametrize("stride", STRIDES)
def test_the_stem_is_the_paper_s_whatever_its_stride(stride: int) -> None:
    built = stem.build("random", stride, 1)
    padding = stem.build("random", stride, 1, (3, 7), pads=True)
    layers = ["Conv2D", "ReLU", "Conv2D", "ReLU"]
    assert [type(layer).__name__ for layer in built.layers] == layers
    assert [type(layer).__name__ for layer in padding.layers] == ["ZeroPadding2D", *layers]
    assert built.count_params() == padding.count_params() == 444 + 84 == 528
    for side in (72, 73, 74, 75, 97):
        handed_on = geometry.behind_stem(side, stride)
        black = np.zeros((1, side, side, 3), np.float32)
        assert built(black).shape == (1, handed_on, handed_on, 3)
        small = geometry.small_side(side, stride)
        assert padding(black).shape == (1, small, small, 3)
        assert geometry.before_stem(handed_on, stride) <= side
        assert geometry.before_stem(handed_on + 1, stride) > side


def test_the_paper_s_stem_makes_108_px_of_224_and_one_that_pads_112() -> None:
    assert geometry.behind_stem(224, stride=2) == 108
    assert geometry.small_side(224, stride=2) == 112


@KERNELS
@pytest.mark.parametrize("stride", STRIDES)
def test_the_average_start_hands_on_the_resized_picture(stride: int, kernels: stem.Kernels) -> None:
    frames = FRAMES.astype(np.float32) / 255
    side = geometry.behind_stem(SIDE, stride)
    # The stem loses a border to its convolutions.
    border = 2 if stride == 4 else 3
    inner = slice(border, border + stride * side)
    expected = images.resize(frames[:, inner, inner], side).numpy()
    made = stem.build("average", stride, 1, kernels)(frames).numpy()
    assert np.abs(made - expected).max() < 1e-6


@KERNELS
@pytest.mark.parametrize("stride", STRIDES)
def test_a_stem_that_pads_hands_on_the_whole_picture(stride: int, kernels: stem.Kernels) -> None:
    frames = FRAMES.astype(np.float32) / 255
    expected = images.resize(frames, SIDE // stride).numpy()
    made = stem.build("average", stride, 1, kernels, pads=True)(frames).numpy()
    assert np.abs(made - expected).max() < 1e-6


def test_an_unknown_start_is_refused() -> None:
    with pytest.raises(ValueError, match="random and average"):
        stem.build("zeros", 2, 1)


def test_a_random_start_is_drawn_by_its_seed() -> None:
    first, again, other = (stem.build("random", 2, seed).get_weights()[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
