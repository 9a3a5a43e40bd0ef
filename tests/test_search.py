"""The search tries each rate once, repeats itself, and goes on where it was cut off."""

from pathlib import Path

import numpy as np
import pytest

from stemtune import search
from stemtune.dataset import Labelled, Splits
from stemtune.params import TuneLr
from stemtune.records import Record

RATES = [0.01, 0.001, 0.0001, 0.00001]


def settings(tuner: str) -> TuneLr:
    return TuneLr.model_validate(
        {"tuner": tuner, "learning_rates": RATES, "epochs": 2, "batch_size": 16}
    )


@pytest.fixture(scope="module")
def data() -> Splits:
    random = np.random.default_rng(1)
    parts = []
    for count in (64, 32, 32):
        labels = random.integers(0, 2, count).astype(np.int32)
        features = random.normal(size=(count, 8)).astype(np.float32) + 2 * labels[:, None]
        parts.append(Labelled(features.astype(np.float32), labels))
    return Splits(*parts)


@pytest.mark.parametrize("tuner", ["bayesian", "random", "grid"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_rate_once_and_the_same_again(
    tmp_path: Path, data: Splits, tuner: str, seed: int
) -> None:
    runs = [
        [
            (record.params, record.metrics)
            for record, _ in search.search(data, 2, settings(tuner), seed, tmp_path / str(again))
        ]
        for again in range(2)
    ]
    assert sorted(params["learning_rate"] for params, _ in runs[0]) == sorted(RATES)
    assert runs[0] == runs[1]


def test_a_search_that_was_cut_off_goes_on(
    tmp_path: Path, data: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = search.search(data, 2, settings("bayesian"), 1, tmp_path / "whole")
    run_trial, ran = search._NotedTrials.run_trial, []

    def cut_off_in_the_third(self, trial, *arguments):  # type: ignore[no-untyped-def]
        if len(ran) == 2:
            raise KeyboardInterrupt
        ran.append(trial.trial_id)
        return run_trial(self, trial, *arguments)

    monkeypatch.setattr(search._NotedTrials, "run_trial", cut_off_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        search.search(data, 2, settings("bayesian"), 1, tmp_path / "cut")
    again = []

    def counted(self, trial, *arguments):  # type: ignore[no-untyped-def]
        again.append(trial.trial_id)
        return run_trial(self, trial, *arguments)

    monkeypatch.setattr(search._NotedTrials, "run_trial", counted)
    resumed = search.search(data, 2, settings("bayesian"), 1, tmp_path / "cut")
    assert len(again) == 2
    assert not set(again) & set(ran)
    assert [(one.params, one.metrics) for one, _ in resumed] == [
        (one.params, one.metrics) for one, _ in whole
    ]


def test_ties_are_broken_by_loss_and_then_by_the_lower_rate() -> None:
    def trial(rate: float, accuracy: float, loss: float) -> Record:
        metrics = {"validation_accuracy": accuracy, "validation_loss": loss}
        return Record(name="t", started=0, params={"learning_rate": rate}, metrics=metrics)

    tied = [trial(1e-2, 0.9, 0.3), trial(1e-3, 0.9, 0.2), trial(1e-4, 0.9, 0.2), trial(1, 0.8, 0)]
    assert search.best(tied).params["learning_rate"] == 1e-4
    assert search.best(tied[::-1]).params["learning_rate"] == 1e-4
