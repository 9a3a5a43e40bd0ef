"""The search for a stem's rate: each rate once, judged by all of its restarts."""

from pathlib import Path

import pytest

from stemtune.core import params
from stemtune.core.results import Epoch, Training
from stemtune.core.settings.training import Attempt
from stemtune.training import stem_search
from stemtune.training.stems import StemTask, TrainedStem
from tests.support.project import ROOT

# By rate, accuracy and loss of each restart; None: it diverged. At 0.01 one start of three works
# best of all; at 0.0001 the loss is the lowest, though the answers are near to guessing.
FOUND: dict[float, list[tuple[float, float | None]]] = {
    0.01: [(0.99, 0.1), (0.2, 1.8), (0.2, 1.8)],
    0.001: [(0.6, 2.9), (0.7, 3.1), (0.6, 2.8)],
    0.0001: [(0.3, 1.7), (0.3, 1.7), (0.3, 1.7)],
    0.1: [(0.99, 0.05), (0.99, None), (0.99, 0.05)],
}


def trained(attempt: Attempt) -> TrainedStem:
    accuracy, loss = FOUND[attempt.learning_rate][(attempt.restart or 1) - 1]
    metrics = {"validation_accuracy": accuracy}
    metrics |= {} if loss is None else {"validation_loss": loss}
    epochs = [Epoch(epoch=1, time=0, seconds=0, metrics=metrics)]
    return TrainedStem(attempt, Training(epochs, 1), metrics, [], [], "", [])


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StemTask:
    monkeypatch.chdir(tmp_path)
    return StemTask("as_published", params.load(ROOT / "params.yaml"))


def test_each_rate_is_tried_with_each_restart_and_the_best_in_the_mean_is_chosen(
    task: StemTask,
) -> None:
    attempts = [Attempt(rate, restart) for rate in FOUND for restart in (1, 2, 3)]
    tried = stem_search.search(task, attempts, trained)
    assert {each.attempt for each in tried} == {*attempts}
    assert stem_search.best(tried).attempt == Attempt(0.001, 2)
    # What one rate gives is not searched.
    assert len(stem_search.search(task, attempts[:3], trained)) == 3
    assert stem_search.best([trained(each) for each in attempts[:3]]).attempt == (Attempt(0.01, 1))


def test_a_stem_that_cannot_be_trained_ends_the_search(task: StemTask) -> None:
    def fail(attempt: Attempt) -> TrainedStem:
        raise OSError("no space left")

    with pytest.raises(Exception, match=r"learning rate 0\.0*1: no space left"):
        stem_search.search(task, [Attempt(0.01), Attempt(0.001)], fail)
