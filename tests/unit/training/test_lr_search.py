"""The search covers its space, repeats itself, and goes on where it was cut off."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from stemtune.core.records import Record
from stemtune.core.results import Epoch
from stemtune.core.settings.training import Head, TuneLr
from stemtune.engine.engine import Local
from stemtune.training import fit, lr_search, oracles, trials
from stemtune.training import kept as kept_trainings
from stemtune.training.dataset import Labelled, Splits
from stemtune.training.kept import Kept
from stemtune.training.trials import Trial
from tests.support.classifiers import head_of
from tests.support.spread import Spread

RATES = [0.01, 0.001, 0.0001, 0.00001]
LOWEST, HIGHEST = 1e-5, 1e-2
RANGE = {"min": LOWEST, "max": HIGHEST, "sampling": "log"}
PAPER_HEAD = head_of()
TUNERS = ["bayesian", "random", "hyperband", "grid"]


def settings(tuner: str, **changed: Any) -> TuneLr:
    given = {
        "tuner": tuner,
        "learning_rates": RATES,
        "max_trials": None,
        "hyperband_factor": 3,
        "seeds": [1],
        "epochs": 2,
        "batch_size": 16,
    }
    if tuner == "hyperband":
        given["epochs"] = 5
    return TuneLr.model_validate(given | changed)


def searching(
    data: Splits,
    folder: Path,
    tune_lr: TuneLr,
    seed: int = 1,
    head: Head = PAPER_HEAD,
    on_progress: Callable[[Trial], None] = lambda trial: None,
) -> lr_search.LearningRateSearch:
    search = lr_search.LearningRateSearch(
        data, 2, tune_lr, head, seed, Kept(str(folder.absolute())), on_progress
    )
    search.search()
    search.require_coverage()
    return search


def run(*arguments: Any, **settings: Any) -> list[Trial]:
    return searching(*arguments, **settings).trials


def outcome(found: list[Trial]) -> list[Any]:
    """All that has to repeat: not the times."""
    return [
        (
            trial.name,
            trial.learning_rate,
            trial.epochs,
            trial.continues,
            trial.metrics,
            [[epoch.metrics for epoch in epochs] for epochs in trial.by_seed],
        )
        for trial in found
    ]


class Batches(keras.utils.PyDataset):
    """Features in one batch, as if computed live."""

    num_batches = 1

    def __init__(self, train: Labelled) -> None:
        super().__init__()
        self._train = train

    def __getitem__(self, batch: int) -> Labelled:
        return self._train


def live(data: Splits) -> Splits:
    """Returns data whose train split is computed live."""

    def batches(batch_size: int, seed: int) -> Batches:
        return Batches(data.train)

    return data._replace(live=batches)


@pytest.fixture(scope="module")
def data() -> Splits:
    return make_data()


def make_data() -> Splits:
    random = np.random.default_rng(1)

    def part(count: int) -> Labelled:
        labels = random.integers(0, 2, count).astype(np.int32)
        features = random.normal(size=(count, 8)).astype(np.float32) + 2 * labels[:, None]
        return Labelled(features.astype(np.float32), labels)

    return Splits(part(64), part(32), part(32))


def load_live() -> Splits:
    return live(make_data())


@pytest.fixture(scope="module")
def searched(
    data: Splits, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[TuneLr], list[Trial]]:
    """Runs a search once, for all tests that look at it."""
    found: dict[str, list[Trial]] = {}

    def search_once(tune_lr: TuneLr) -> list[Trial]:
        key = tune_lr.model_dump_json()
        if key not in found:
            found[key] = run(data, tmp_path_factory.mktemp("searched"), tune_lr)
        return found[key]

    return search_once


@pytest.mark.parametrize("tuner", ["bayesian", "random", "grid"])
def test_each_rate_once_and_the_same_again(
    tmp_path: Path, data: Splits, searched: Callable[[TuneLr], list[Trial]], tuner: str
) -> None:
    first, again = searched(settings(tuner)), run(data, tmp_path, settings(tuner))
    assert sorted(trial.learning_rate for trial in first) == sorted(RATES)
    assert outcome(first) == outcome(again)


@pytest.mark.parametrize("tuner", ["bayesian", "random", "grid"])
def test_each_rate_of_a_longer_list_is_drawn_with_any_seed(tmp_path: Path, tuner: str) -> None:
    rates = [round(0.001 * k, 3) for k in range(1, 13)]
    for seed in range(1, 41):
        oracle = oracles.build(settings(tuner, learning_rates=rates), seed)
        oracle._set_project_dir(str(tmp_path), str(seed))
        drawn = []
        while (trial := oracle.create_trial("tuner")).status == "RUNNING":
            drawn.append(trial.hyperparameters.values["learning_rate"])
            oracle.update_trial(trial.trial_id, {"validation_accuracy": 0.5})
            trial.status = "COMPLETED"
            oracle.end_trial(trial)
        assert sorted(drawn) == rates


def test_hyperband_begins_each_of_four_rates_and_trains_the_best_two_on(
    searched: Callable[[TuneLr], list[Trial]],
) -> None:
    found = searched(settings("hyperband"))
    begun, gone_on = found[:4], found[4:]
    assert sorted(trial.learning_rate for trial in begun) == sorted(RATES)
    assert {len(trial.history) for trial in begun} == {2}
    score = {trial.name: trial.metrics["validation_accuracy"] for trial in begun}
    continued = [trial.continues for trial in gone_on]
    assert len(set(continued)) == 2
    assert min(score[name] for name in continued) >= max(
        value for name, value in score.items() if name not in continued
    )
    rates = {trial.name: trial.learning_rate for trial in begun}
    for trial in gone_on:
        assert [epoch.epoch for epoch in trial.history] == [3, 4, 5]
        assert trial.learning_rate == rates[trial.continues]
    assert trials.best(found) in gone_on


def test_hyperband_s_brackets_over_a_range(tmp_path: Path, data: Splits) -> None:
    found = run(data, tmp_path, settings("hyperband", learning_rates=RANGE))
    trained = [(trial.epochs, bool(trial.continues)) for trial in found]
    assert trained == [(2, False)] * 5 + [(5, True)] * 2 + [(5, False)] * 3


def test_a_trial_that_goes_on_takes_over_weights_and_moments(
    tmp_path: Path, data: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, taken_over = fit.fit, []

    def watched(head, batches, validation, plan, *more):  # type: ignore[no-untyped-def]
        # Adam's first variable counts its steps.
        steps = 0 if plan.moments is None else int(plan.moments[0])
        weights = [value.copy() for value in head.get_weights()]
        taken_over.append((plan.first, steps, weights))
        return train(head, batches, validation, plan, *more)

    monkeypatch.setattr(fit, "fit", watched)
    search = searching(data, tmp_path, settings("hyperband"))
    found = search.trials
    head_of_trial = {trial.name: search.heads_of(trial)[0] for trial in found}
    steps = 64 // 16
    for trial, (first, iterations, weights) in zip(found, taken_over, strict=True):
        if trial.continues:
            assert (first, iterations) == (2, 2 * steps)
            begun = head_of_trial[trial.continues].get_weights()
            for mine, theirs in zip(weights, begun, strict=True):
                assert np.array_equal(mine, theirs)
        else:
            assert (first, iterations) == (0, 0)


def test_a_rate_at_which_training_diverges_ranks_last(tmp_path: Path, data: Splits) -> None:
    # No setting allows such a rate, but a network of one's own may diverge at any.
    tune_lr = settings("bayesian", seeds=[1, 2], learning_rates=[0.1, 0.01])
    tune_lr = tune_lr.model_copy(update={"learning_rates": [1e38, 0.01]})
    found = run(data, tmp_path, tune_lr)
    by_rate = {trial.learning_rate: trial for trial in found}
    assert by_rate[1e38].diverged
    assert "validation_loss" not in by_rate[1e38].metrics
    assert trials.best(found) is by_rate[0.01]
    json.dumps([trials.record_of(trial).model_dump() for trial in found], allow_nan=False)


@pytest.mark.parametrize("tuner", ["bayesian", "random"])
def test_a_range_is_searched_for_as_many_trials_as_asked(
    tmp_path: Path, data: Splits, tuner: str
) -> None:
    tune_lr = settings(tuner, learning_rates=RANGE, max_trials=5)
    found = run(data, tmp_path, tune_lr)
    rates = [trial.learning_rate for trial in found]
    assert len(rates) == 5
    assert all(LOWEST <= rate <= HIGHEST for rate in rates)
    assert len(set(rates) - set(RATES)) >= 3


def test_a_trial_is_judged_by_its_mean_over_seeds(tmp_path: Path, data: Splits) -> None:
    def of(*seeds: int) -> list[Trial]:
        tune_lr = settings("grid", seeds=list(seeds), learning_rates=RATES[:2])
        return run(data, tmp_path / str(seeds), tune_lr)

    alone, together = [of(5), of(6), of(7)], of(5, 6, 7)
    for singles, trial in zip(zip(*alone, strict=True), together, strict=True):
        accuracies = [one.metrics["validation_accuracy"] for one in singles]
        assert trial.metrics["validation_accuracy"] == pytest.approx(np.mean(accuracies))
        assert trial.metrics["validation_accuracy_spread"] == pytest.approx(
            np.std(accuracies, ddof=1)
        )
        assert "validation_accuracy_spread" not in singles[0].metrics
        losses = [one.history[0].metrics["train_loss"] for one in singles]
        assert len(set(losses)) == 3
        assert trial.history[0].metrics["train_loss"] == pytest.approx(np.mean(losses))


@pytest.mark.parametrize(
    "tune_lr",
    [
        *map(settings, TUNERS),
        settings("bayesian", seeds=[1, 2], learning_rates=RANGE, max_trials=5),
    ],
    ids=[*TUNERS, "bayesian over a range, two seeds"],
)
def test_a_search_on_live_features_that_was_cut_off_goes_on(
    tmp_path: Path,
    data: Splits,
    tune_lr: TuneLr,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = live(data)
    whole = run(shown, tmp_path / "whole", tune_lr)
    # In the last seed of the last trial but one.
    seeds, finished, trains = len(tune_lr.seeds), len(whole) - 2, 0
    train = fit.fit

    def cut_off(*arguments, **more):  # type: ignore[no-untyped-def]
        nonlocal trains
        trains += 1
        if trains == seeds * (finished + 1):
            raise KeyboardInterrupt
        return train(*arguments, **more)

    with monkeypatch.context() as patched:
        patched.setattr(fit, "fit", cut_off)
        with pytest.raises(KeyboardInterrupt):
            run(shown, tmp_path / "cut", tune_lr)
    # What a kill in the middle of its writing leaves of the tuner's own state.
    for state in (tmp_path / "cut").rglob("oracle.json"):
        state.write_text(state.read_text()[:100])
    capsys.readouterr()
    resumed = run(shown, tmp_path / "cut", tune_lr)
    printed = capsys.readouterr().out
    assert outcome(resumed) == outcome(whole)
    for number, trial in enumerate(whole):
        kept = len(re.findall(rf"tune_lr: {trial.name}, seed \d: finished before, kept", printed))
        assert kept == (seeds if number < finished else seeds - 1 if number == finished else 0)


def test_trials_of_other_code_data_or_settings_are_not_taken_up(
    tmp_path: Path,
    data: Splits,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    one, shown = settings("grid", learning_rates=RATES[:1]), live(data)

    def kept(shown: Splits, head: Head = PAPER_HEAD) -> bool:
        run(shown, tmp_path, one, head=head)
        return "finished before, kept" in capsys.readouterr().out

    assert [kept(shown), kept(shown)] == [False, True]
    assert not kept(shown, head_of(units=4, dropout=0.2))
    assert not kept(live(data._replace(train=Labelled(data.train.features + 1, data.train.labels))))
    # On cached features a trial takes seconds, and none is kept.
    assert [kept(data), kept(data)] == [False, False]
    assert kept(shown)
    package = tmp_path / "edited"
    shutil.copytree(kept_trainings.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(kept_trainings, "PACKAGE", package)
    kept_trainings.code.cache_clear()
    assert kept(shown)
    with (package / "training/fit.py").open("a") as file:
        file.write("# edited\n")
    kept_trainings.code.cache_clear()
    assert not kept(shown)
    kept_trainings.code.cache_clear()


def test_rates_that_run_side_by_side_come_to_the_same(
    tmp_path: Path, data: Splits, capsys: pytest.CaptureFixture[str]
) -> None:
    tune_lr, shown = settings("bayesian", seeds=[1, 2], learning_rates=RATES[:3]), live(data)
    here = run(shown, tmp_path / "here", tune_lr)
    search = lr_search.LearningRateSearch(
        shown, 2, tune_lr, PAPER_HEAD, 1, Kept(str(tmp_path / "apart"))
    )
    search.run_ahead(Local(1), load_live)
    assert capsys.readouterr().out.count("side by side") == 0
    search.run_ahead(Spread(1), load_live)
    printed = capsys.readouterr().out
    assert "tune_lr: 3 learning rates run side by side" in printed
    assert "tune_lr: trial ahead, learning rate 0.001, seed 2: epoch 1/2" in printed
    search.search()
    assert "seed 1: epoch" not in capsys.readouterr().out
    assert outcome(search.trials) == outcome(here)


@pytest.mark.parametrize(
    ("tune_lr", "is_live"),
    [
        (settings("grid", learning_rates=RATES[:2]), False),
        (settings("hyperband", learning_rates=RATES[:2]), True),
        (settings("random", learning_rates=RANGE, max_trials=2), True),
    ],
    ids=["on cached features", "hyperband", "a range"],
)
def test_trials_that_take_seconds_or_need_others_are_not_run_ahead(
    tmp_path: Path,
    data: Splits,
    tune_lr: TuneLr,
    is_live: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = live(data) if is_live else data
    kept = Kept(str(tmp_path))
    search = lr_search.LearningRateSearch(shown, 2, tune_lr, PAPER_HEAD, 1, kept)
    search.run_ahead(Spread(1), load_live)
    assert capsys.readouterr().out == ""


def test_an_error_in_a_trial_ends_the_search_with_its_reason(
    tmp_path: Path, data: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments, **more):  # type: ignore[no-untyped-def]
        raise MemoryError("no room for features")

    monkeypatch.setattr(fit, "fit", broken)
    with pytest.raises(Exception, match=r"trial 1, learning rate .*no room for features"):
        run(data, tmp_path, settings("grid"))


def test_a_record_shows_the_search_as_it_goes_on(tmp_path: Path, data: Splits) -> None:
    record, seen = Record.start("tune_lr", {}), []

    def show(trial: Trial) -> None:
        record.show(trials.record_of(trial))
        shown = record.children[-1]
        seen.append((shown.name, shown.status, len(shown.epochs), bool(shown.metrics)))

    tune_lr = settings("grid", seeds=[1, 2], learning_rates=RATES[:2])
    found = run(data, tmp_path, tune_lr, on_progress=show)
    assert seen == [
        (name, status, epochs, status == "finished")
        for name in ("trial 1", "trial 2")
        for status, epochs in (
            *[("running", 0), ("running", 1), ("running", 2)],
            ("finished", 2),
        )
    ]
    for trial, shown in zip(found, record.children, strict=True):
        assert shown.params == {"learning_rate": trial.learning_rate, "epochs": 2}
        assert shown.epochs == trial.history
        assert (shown.started, shown.seconds) == (trial.started, trial.seconds)


def trial_of(rate: float, accuracy: float, loss: float, epochs: int = 5) -> Trial:
    metrics = {"validation_accuracy": accuracy, "validation_loss": loss}
    last = Epoch(epoch=epochs, time=0, seconds=1, metrics=metrics)
    return Trial(
        name="t",
        learning_rate=rate,
        epochs=epochs,
        started=0,
        seconds=1,
        by_seed=((last,),),
        kept=(last.epoch,),
    )


def test_ties_are_broken_by_loss_and_then_by_the_lower_rate() -> None:
    tied = [
        trial_of(1e-2, 0.9, 0.3),
        trial_of(1e-3, 0.9, 0.2),
        trial_of(1e-4, 0.9, 0.2),
        trial_of(1, 0.8, 0),
        trial_of(1e-5, 0.95, 0, epochs=2),
    ]
    assert trials.best(tied).learning_rate == 1e-4
    assert trials.best(tied[::-1]).learning_rate == 1e-4


def test_table_1_has_its_columns_and_no_times(tmp_path: Path, data: Splits) -> None:
    found = run(data, tmp_path, settings("grid", seeds=[1, 2], learning_rates=RATES[:2]))
    table = trials.table([trial.tested([0.5, 0.7]) for trial in found])
    assert list(table.columns) == [
        "trial",
        "epochs",
        "learning_rate",
        "validation_accuracy",
        "validation_accuracy_spread",
        "test_accuracy",
        "test_accuracy_spread",
        "continues",
    ]
    assert table["test_accuracy"].tolist() == pytest.approx([0.6] * 2)
    assert table["test_accuracy_spread"].tolist() == pytest.approx([0.1414] * 2, abs=1e-4)
