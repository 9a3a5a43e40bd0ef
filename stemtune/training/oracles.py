"""Keras Tuner's oracles, which choose the learning rates to try, made to cover all of a list."""

import math
from typing import Any

import keras_tuner

from stemtune.core.settings.training import RateRange, TuneLr
from stemtune.training.trials import OBJECTIVE


class _HyperbandOracle(keras_tuner.oracles.HyperbandOracle):
    """Hyperband (Li et al., 2018) with brackets no wider than a list of rates is long.

    Keras Tuner's own ends the search where a bracket asks for a fifth rate of four.
    """

    def __init__(self, rates: int | None, **settings: Any) -> None:
        self._rates = rates
        super().__init__(**settings)

    def _get_size(self, bracket_num: int, round_num: int) -> int:
        size = super()._get_size(bracket_num, round_num)
        if self._rates is None:
            return size
        return min(size, math.ceil(self._rates / self.factor**round_num))


def build(params: TuneLr, seed: int) -> keras_tuner.Oracle:
    """Returns the oracle that proposes rates.

    Args:
        params: Tuner and rates.
        seed: Of its draws; not 0.
    """
    space, rates = keras_tuner.HyperParameters(), params.learning_rates
    if isinstance(rates, RateRange):
        count, trials = None, params.max_trials
        space.Float("learning_rate", rates.min, rates.max, sampling=rates.sampling)
    else:
        count = trials = len(rates)
        space.Choice("learning_rate", rates)
    objective = keras_tuner.Objective(OBJECTIVE, "max")
    common = {"objective": objective, "seed": seed, "hyperparameters": space}
    kinds, factor = keras_tuner.oracles, params.hyperband_factor
    if params.tuner == "hyperband":
        oracle = _HyperbandOracle(count, max_epochs=params.epochs, factor=factor, **common)
    elif params.tuner == "bayesian":
        # Only the random phase rules repeats out; the model-based one may try a rate twice.
        oracle = kinds.BayesianOptimizationOracle(
            max_trials=trials, num_initial_points=count, **common
        )
    elif params.tuner == "random":
        oracle = kinds.RandomSearchOracle(max_trials=trials, **common)
    else:
        oracle = kinds.GridSearchOracle(max_trials=trials, **common)
    oracle.verbose = 0
    # Draws in a row that repeat a rate before the space counts as exhausted; with Keras Tuner's 20
    # the last rate of a list is now and then never drawn.
    oracle._max_collisions = 1000
    return oracle
