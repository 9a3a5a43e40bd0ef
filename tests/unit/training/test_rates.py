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
        (PAPER, 0.01, "is the largest, 0.01; a larger one may be better: add it to tune_lr.rates"),
        (PAPER, 0.00001, "is the smallest, 1e-05; a smaller one may be better: add it to"),
        (LOG, 0.009, "0.009, lies at the upper end of its range, 0.01; a larger one may be better"),
        (LOG, 0.009, ": raise tune_lr.rates.max"),
        (LOG, 0.000011, "the lower end of its range, 1e-05; .*: lower tune_lr.rates.min"),
        (LINEAR, 0.095, ": raise tune_lr.rates.max"),
    ],
)
def test_a_rate_at_an_end_is_told(tried: list[float] | RateRange, best: float, said: str) -> None:
    advice = rates.advice(tried, best, "tune_lr.rates")
    assert advice.startswith("the best of the rates tried")
    assert re.search(said, advice)


@pytest.mark.parametrize(
    ("tried", "best"),
    [(PAPER, 0.001), ([0.01], 0.01), ([0.003, 0.0001], 0.003), (LOG, 0.001), (LINEAR, 0.05)],
)
def test_nothing_is_said_of_a_rate_within_or_of_one_that_has_no_choice(
    tried: list[float] | RateRange, best: float
) -> None:
    assert rates.advice(tried, best, "tune_lr.rates") == ""
