"""What is said of a best learning rate at an end of where it was looked for."""

import re

import pytest

from stemtune.core.settings.training import RateRange
from stemtune.training import rates

PAPER = [0.01, 0.001, 0.0001, 0.00001]
LOG = RateRange(min=0.00001, max=0.01, sampling="log")
LINEAR = RateRange(min=0.001, max=0.101, sampling="linear")


@pytest.mark.parametrize(
    ("tried", "best", "said"),
    [
        (PAPER, 0.01, "^0.01 is the largest learning rate tried; add a larger one to tune"),
        (PAPER, 0.00001, "^1e-05 is the smallest learning rate tried; add a smaller one to"),
        (LOG, 0.009, "0.009, lies at the upper end of its range, 0.01; raise tune_lr.rates.max"),
        (LOG, 0.000011, "the lower end of its range, 1e-05; lower tune_lr.rates.min"),
        (LINEAR, 0.095, "; raise tune_lr.rates.max"),
    ],
)
def test_a_rate_at_an_end_is_told(tried: list[float] | RateRange, best: float, said: str) -> None:
    assert re.search(said, rates.advice(tried, best, "tune_lr.rates"))


@pytest.mark.parametrize(
    ("tried", "best"),
    [(PAPER, 0.001), ([0.01], 0.01), ([0.003, 0.0001], 0.003), (LOG, 0.001), (LINEAR, 0.05)],
)
def test_nothing_is_said_of_a_rate_within_or_of_one_that_has_no_choice(
    tried: list[float] | RateRange, best: float
) -> None:
    assert rates.advice(tried, best, "tune_lr.rates") == ""
