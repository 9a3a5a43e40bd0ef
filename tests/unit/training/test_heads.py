"""A head keeps the epoch that is best on validation, and an untrained one is never the best."""

import numpy as np
import pytest

from stemtune.core import params
from stemtune.core.errors import InputError
from stemtune.training import fit, heads
from stemtune.training.dataset import Labelled, Splits
from stemtune.training.heads import HeadPlan
from tests.support.project import ROOT


@pytest.fixture(scope="module")
def data() -> Splits:
    random = np.random.default_rng(0)
    features, labels = random.normal(size=(32, 8)).astype(np.float32), np.arange(32) % 2

    def some(sign: float) -> Labelled:
        # What is learned of these is wrong on validation, where the start is better by its loss.
        signed = features + sign * np.where(labels, 1.0, -1.0)[:, None]
        return Labelled(signed.astype(np.float32), labels.astype(np.int32))

    return Splits(some(1), some(-1), some(1))


@pytest.fixture(scope="module")
def plan() -> HeadPlan:
    head = params.load(ROOT / "params.yaml").train_best.head
    return HeadPlan("a head", head, 2, 1, 8, 0.1, 3, keep_best=True)


def test_a_random_start_is_never_kept(data: Splits, plan: HeadPlan) -> None:
    start = heads.predict(heads.build(8, 2, plan.head, plan.seed), data.validation.features)
    started = -np.log(start[range(32), data.validation.labels]).mean()
    trained = heads.train(plan, data, "test").training
    losses = {epoch.epoch: epoch.metrics["validation_loss"] for epoch in trained.epochs}
    assert started < min(losses.values())
    assert losses[trained.kept] == min(losses.values())


def test_a_training_without_a_finite_loss_has_diverged(data: Splits, plan: HeadPlan) -> None:
    lost = data._replace(train=data.train._replace(features=data.train.features * np.inf))
    found = heads.train(plan, lost, "test")
    with pytest.raises(InputError, match=r"learning rate 0\.1 diverged"):
        fit.require_convergence(found, "add_stem.retrained_head.learning_rates")
