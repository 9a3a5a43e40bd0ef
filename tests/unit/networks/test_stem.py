"""The stem: its layers and its start."""

import numpy as np
import pytest

from stemtune.core import geometry
from stemtune.networks import stem


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_the_stem_is_the_paper_s_whatever_its_stride(stride: int) -> None:
    built = stem.build(stride, 1)
    layers = ["Conv2D", "ReLU", "Conv2D", "ReLU"]
    assert [type(layer).__name__ for layer in built.layers] == layers
    assert built.count_params() == 444 + 84 == 528
    for side in (72, 73, 74, 75, 97):
        small = geometry.behind_stem(side, stride)
        assert built(np.zeros((1, side, side, 3), np.float32)).shape == (1, small, small, 3)
        assert geometry.before_stem(small, stride) <= side
        assert geometry.before_stem(small + 1, stride) > side


def test_it_makes_108_px_of_224() -> None:
    assert geometry.behind_stem(224, stride=2) == 108
    assert geometry.small_side(224, stride=2) == 112


def test_its_start_is_drawn_by_its_seed() -> None:
    first, again, other = (stem.build(2, seed).get_weights()[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
