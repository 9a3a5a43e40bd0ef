"""Keras Tuner's oracles, which choose the learning rates to try, made to cover all of a list."""

import math
from typing import Any

import keras_tuner

from stemtune.core.settings.training import RateRange, TuneLr
from stemtune.training.trials import OBJECTIVE

KINDS = {
    "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
    "random": keras_tuner.oracles.RandomSearchOracle,
    "grid": keras_tuner.oracles.GridSearchOracle,
}


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
    """Returns the oracle that proposes rates for heads.

    Args:
        params: Tuner and rates.
        seed: Of its draws; not 0.
    """
    rates, space = params.learning_rates, keras_tuner.HyperParameters()
    if isinstance(rates, RateRange):
        space.Float("learning_rate", rates.min, rates.max, sampling=rates.sampling)
        count = None
    else:
        space.Choice("learning_rate", list(rates))
        count = len(rates)
    objective = keras_tuner.Objective(OBJECTIVE, "max")
    common = {"objective": objective, "seed": seed, "hyperparameters": space}
    if params.tuner == "hyperband":
        factor = params.hyperband_factor
        return _quiet(_HyperbandOracle(count, max_epochs=params.epochs, factor=factor, **common))
    if params.tuner == "bayesian" and count:
        # Only the random phase rules repeats out; the model-based one may try a rate twice.
        common["num_initial_points"] = count
    return _quiet(KINDS[params.tuner](max_trials=count or params.max_trials, **common))


def _quiet(oracle: keras_tuner.Oracle) -> keras_tuner.Oracle:
    oracle.verbose = 0
    # Draws in a row that repeat a rate before the space counts as exhausted; with Keras Tuner's 20
    # the last rate of a list is now and then never drawn.
    oracle._max_collisions = 1000
    return oracle
