"""The search covers its space, repeats itself, and goes on where it was cut off."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stemtune.core import params
from stemtune.core.params import Params
from stemtune.core.records import Record
from stemtune.core.results import Epoch, Training
from stemtune.engine.engine import Local
from stemtune.training import fit, oracles, trials
from stemtune.training import kept as kept_trainings
from stemtune.training.dataset import Labelled, Splits
from stemtune.training.heads import Tell
from stemtune.training.kept import Kept
from stemtune.training.lr_search import LearningRateSearch
from stemtune.training.trials import Trial
from tests.support.project import ROOT
from tests.support.spread import Spread

RATES = [0.01, 0.001, 0.0001, 0.00001]
LOWEST, HIGHEST = 1e-5, 1e-2
RANGE = {"min": LOWEST, "max": HIGHEST, "sampling": "log"}
PARAMS = params.load(ROOT / "params.yaml").model_dump()
KEPT = ": finished before, kept"


def settings(tuner: str, head: dict[str, Any] | None = None, **changed: Any) -> Params:
    given = {
        "tuner": tuner,
        "learning_rates": RATES,
        "max_trials": None,
        "hyperband_factor": 3,
        "seeds": [1],
        "epochs": 5 if tuner == "hyperband" else 2,
        "batch_size": 16,
    }
    chosen = PARAMS["train_best"] | {"head": PARAMS["train_best"]["head"] | (head or {})}
    return Params.model_validate(PARAMS | {"tune_lr": given | changed, "train_best": chosen})


def search_of(
    folder: Path, data: Splits, settings: Params, tell: Tell = lambda record: None
) -> LearningRateSearch:
    return LearningRateSearch(settings, data, 2, Kept(str(folder.absolute())), tell)


def run(*arguments: Any) -> list[Trial]:
    search = search_of(*arguments)
    search.search()
    search.require_coverage()
    return search.trials


def outcome(found: list[Trial]) -> list[Any]:
    """All that has to repeat: not the times."""
    return [
        (
            *(trial.name, trial.learning_rate, trial.epochs, trial.continues, trial.metrics),
            [[epoch.metrics for epoch in each.epochs] for each in trial.trainings],
        )
        for trial in found
    ]


def make_data(live: bool = False) -> Splits:
    random = np.random.default_rng(1)

    def part(count: int) -> Labelled:
        labels = random.integers(0, 2, count).astype(np.int32)
        features = random.normal(size=(count, 8)) + 2 * labels[:, None]
        return Labelled(features.astype(np.float32), labels)

    data = Splits(part(64), part(32), part(32))
    return data._replace(live=data.train.shuffled) if live else data


def load_live() -> Splits:
    return make_data(live=True)


DATA, LIVE = make_data(), load_live()


def test_each_rate_is_tried_once_and_with_the_same_results_again(tmp_path: Path) -> None:
    first, again = (run(tmp_path / name, DATA, settings("bayesian", epochs=1)) for name in "ab")
    assert sorted(trial.learning_rate for trial in first) == sorted(RATES)
    assert outcome(first) == outcome(again)


def values_of(settings: Params, seed: int, folder: Path) -> list[dict[str, Any]]:
    """Returns the values of all trials that an oracle proposes, each of which scores alike."""
    oracle, values = oracles.build(settings.tune_lr, seed), []
    oracle._set_project_dir(str(folder), str(seed))
    while (trial := oracle.create_trial("tuner")).status == "RUNNING":
        values.append(trial.hyperparameters.values)
        oracle.update_trial(trial.trial_id, {"validation_accuracy": 0.5})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    return values


@pytest.mark.parametrize("tuner", ["bayesian", "random", "grid"])
def test_each_rate_of_a_longer_list_is_drawn_with_any_seed(tmp_path: Path, tuner: str) -> None:
    rates = [round(0.001 * k, 3) for k in range(1, 13)]
    for seed in range(1, 41):
        drawn = values_of(settings(tuner, learning_rates=rates), seed, tmp_path)
        assert sorted(values["learning_rate"] for values in drawn) == rates


def test_hyperband_continues_the_best_two_of_four_rates_from_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, starts, ends = fit.fit, [], []

    def watched(head, *given, **more):  # type: ignore[no-untyped-def]
        # Adam's first variable counts its steps.
        starts.append((int(more["optimizer"].variables[0].numpy()), head.get_weights()))
        training = train(head, *given, **more)
        ends.append(head.get_weights())
        return training

    monkeypatch.setattr(fit, "fit", watched)
    found = run(tmp_path, DATA, settings("hyperband"))
    begun, gone_on = found[:4], found[4:]
    assert sorted(trial.learning_rate for trial in begun) == sorted(RATES)
    assert {len(trial.history) for trial in begun} == {2}
    score = {trial.name: trial.metrics["validation_accuracy"] for trial in begun}
    continued = [trial.continues for trial in gone_on]
    assert len(set(continued)) == 2
    rest = [value for name, value in score.items() if name not in continued]
    assert min(score[name] for name in continued) >= max(rest)
    assert trials.best(found) in gone_on
    names = [trial.name for trial in found]
    for trial, (steps, weights) in zip(found, starts, strict=True):
        if trial.continues:
            before = names.index(trial.continues)
            assert [epoch.epoch for epoch in trial.history] == [3, 4, 5]
            assert trial.learning_rate == found[before].learning_rate
            assert all(np.array_equal(*pair) for pair in zip(weights, ends[before], strict=True))
        assert steps == (2 * 64 // 16 if trial.continues else 0)


def test_hyperband_s_brackets_over_a_range(tmp_path: Path) -> None:
    drawn = values_of(settings("hyperband", learning_rates=RANGE), 1, tmp_path)
    trained = [(values["tuner/epochs"], "tuner/trial_id" in values) for values in drawn]
    assert trained == [(2, False)] * 5 + [(5, True)] * 2 + [(5, False)] * 3


def test_a_rate_at_which_training_diverges_ranks_last_and_the_search_goes_on(
    tmp_path: Path,
) -> None:
    asked = settings("grid", seeds=[1, 2])
    # No setting allows such a rate, but a network of one's own may diverge at any.
    rates = asked.tune_lr.model_copy(update={"learning_rates": [1e38, 0.01]})
    record = Record.start("tune_lr", {})
    diverged, sound = run(tmp_path, DATA, asked.model_copy(update={"tune_lr": rates}), record.show)
    assert diverged.diverged
    assert "validation_loss" not in diverged.metrics
    assert trials.best([diverged, sound]) is sound
    json.dumps(record.model_dump(), allow_nan=False)


@pytest.mark.parametrize("tuner", ["bayesian", "random"])
def test_a_range_is_searched_for_as_many_trials_as_asked(tmp_path: Path, tuner: str) -> None:
    found = run(tmp_path, DATA, settings(tuner, learning_rates=RANGE, max_trials=3, epochs=1))
    rates = {trial.learning_rate for trial in found}
    assert len(rates - {*RATES}) == 3
    assert all(LOWEST <= rate <= HIGHEST for rate in rates)


def test_a_trial_is_judged_by_its_mean_over_seeds(tmp_path: Path) -> None:
    [trial] = run(tmp_path, DATA, settings("grid", seeds=[5, 6, 7], learning_rates=RATES[:1]))
    [alone] = run(tmp_path, DATA, settings("grid", seeds=[6], learning_rates=RATES[:1]))
    assert alone.trainings[0].metrics == trial.trainings[1].metrics
    assert "validation_accuracy_spread" not in alone.metrics
    accuracies = [each.metrics["validation_accuracy"] for each in trial.trainings]
    assert trial.metrics["validation_accuracy"] == pytest.approx(np.mean(accuracies))
    assert trial.metrics["validation_accuracy_spread"] == pytest.approx(np.std(accuracies, ddof=1))
    losses = [each.epochs[0].metrics["train_loss"] for each in trial.trainings]
    assert len(set(losses)) == 3
    assert trial.history[0].metrics["train_loss"] == pytest.approx(np.mean(losses))


@pytest.mark.parametrize(
    "asked",
    [
        settings("hyperband", head={"dropout": 0.5}),
        settings("bayesian", seeds=[1, 2], learning_rates=RANGE, max_trials=3, epochs=1),
    ],
    ids=["hyperband", "bayesian over a range, two seeds"],
)
def test_a_search_on_live_features_that_was_cut_off_goes_on(
    tmp_path: Path,
    asked: Params,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = run(tmp_path / "whole", LIVE, asked)
    # In the last seed of the last trial but one.
    seeds, finished, trains = len(asked.tune_lr.seeds), len(whole) - 2, 0
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
            run(tmp_path / "cut", LIVE, asked)
    # What a kill in the middle of its writing leaves of the tuner's own state.
    for state in (tmp_path / "cut").rglob("oracle.json"):
        state.write_text(state.read_text()[:100])
    capsys.readouterr()
    resumed = run(tmp_path / "cut", LIVE, asked)
    printed = capsys.readouterr().out
    assert outcome(resumed) == outcome(whole)
    for number, trial in enumerate(whole):
        kept = len(re.findall(rf"tune_lr: {trial.name}, seed \d{KEPT}", printed))
        assert kept == (seeds if number < finished else seeds - 1 if number == finished else 0)


def test_trials_of_other_code_data_or_settings_are_not_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def kept(data: Splits, head: dict[str, Any] | None = None) -> bool:
        run(tmp_path, data, settings("grid", head, learning_rates=RATES[:1], epochs=1))
        return KEPT in capsys.readouterr().out

    assert [kept(LIVE), kept(LIVE)] == [False, True]
    assert not kept(LIVE, {"units": 4})
    assert not kept(LIVE._replace(train=Labelled(LIVE.train.features + 1, LIVE.train.labels)))
    # On cached features a trial takes seconds, and none is kept.
    assert [kept(DATA), kept(DATA)] == [False, False]
    package = tmp_path / "edited"
    shutil.copytree(kept_trainings.PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(kept_trainings, "PACKAGE", package)
    for edit, expected in (("", True), ("# edited\n", False)):
        with (package / "training/fit.py").open("a") as file:
            file.write(edit)
        kept_trainings.code.cache_clear()
        assert kept(LIVE) is expected
    kept_trainings.code.cache_clear()


def test_rates_that_run_side_by_side_come_to_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEMTUNE_VERBOSE", "1")
    asked = settings("bayesian", seeds=[1, 2], learning_rates=RATES[:2])
    here = run(tmp_path / "here", LIVE, asked)
    capsys.readouterr()
    search = search_of(tmp_path / "apart", LIVE, asked)
    search.run_ahead(Local(1), load_live)
    assert capsys.readouterr().out == ""
    search.run_ahead(Spread(1), load_live)
    printed = capsys.readouterr().out
    assert "tune_lr: 2 learning rates run side by side" in printed
    assert "tune_lr: trial ahead, learning rate 0.001, seed 2: " in printed
    search.search()
    assert "; epoch" not in capsys.readouterr().out
    assert outcome(search.trials) == outcome(here)


@pytest.mark.parametrize(
    ("asked", "data"),
    [
        (settings("grid"), DATA),
        (settings("hyperband"), LIVE),
        (settings("random", learning_rates=RANGE, max_trials=2), LIVE),
    ],
    ids=["on cached features", "hyperband", "a range"],
)
def test_trials_that_take_seconds_or_need_others_are_not_run_ahead(
    tmp_path: Path, asked: Params, data: Splits, capsys: pytest.CaptureFixture[str]
) -> None:
    search_of(tmp_path, data, asked).run_ahead(Spread(1), load_live)
    assert capsys.readouterr().out == ""


def test_an_error_in_a_trial_ends_the_search_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments, **more):  # type: ignore[no-untyped-def]
        raise MemoryError("no room for features")

    monkeypatch.setattr(fit, "fit", broken)
    with pytest.raises(Exception, match=r"trial 1, learning rate .*no room for features"):
        run(tmp_path, DATA, settings("grid"))


def test_records_show_the_search_as_it_goes_on_and_table_1_its_result(tmp_path: Path) -> None:
    seen = []

    class Watched(Record):
        def show(self, child: Record) -> None:
            super().show(child)
            seen.append((child.name, child.status, len(child.epochs)))

    record = Watched.start("tune_lr", {})
    found = run(
        tmp_path, DATA, settings("grid", seeds=[1, 2], learning_rates=RATES[:2]), record.show
    )
    # Shown as it begins, a record grows from then on.
    assert seen == [("trial 1", "running", 0), ("trial 2", "running", 0)]
    for trial, shown in zip(found, record.children, strict=True):
        assert (shown.status, len(shown.epochs)) == ("finished", 2)
        assert shown.params == {"learning_rate": trial.learning_rate, "epochs": 2}
        assert (shown.epochs, shown.metrics) == (trial.history, trial.metrics)
        assert 0 < shown.seconds < 60
    table = trials.table(found)
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
    for name in ("test_accuracy", "validation_accuracy_spread"):
        assert table[name].tolist() == [trial.metrics[name] for trial in found]


def trial_of(rate: float, accuracy: float, loss: float, epochs: int = 5) -> Trial:
    metrics = {"validation_accuracy": accuracy, "validation_loss": loss}
    last = Epoch(epoch=epochs, time=0, seconds=1, metrics=metrics)
    return Trial("t", rate, epochs, [Training([last], epochs)])


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


def test_the_terminal_gets_a_line_for_each_rate_with_its_spread() -> None:
    def trial(number: int, rate: float, accuracies: list[float]) -> trials.Trial:
        metrics = [{"validation_accuracy": each, "validation_loss": 0.1} for each in accuracies]
        trainings = [
            Training([Epoch(epoch=1, time=0, seconds=1, metrics=each)], 1) for each in metrics
        ]
        return trials.Trial(f"trial {number}", rate, 1, trainings, accuracies)

    tried = [trial(1, 0.001, [0.97, 0.99]), trial(2, 0.01, [1.0, 0.99]), trial(3, 1e-5, [0.2, 0.2])]
    assert trials.lines(tried) == [
        "rate     validation accuracy, 2 seeds",
        "0.01     99.5 ± 0.7    chosen",
        "0.001    98.0 ± 1.4",
        "1e-05    20.0 ± 0.0",
    ]
    many = [*tried, *(trial(number, 2e-3 / number, [0.5]) for number in range(4, 14))]
    assert trials.lines(many)[-1] == "5 more trials are in tuning/trials.csv"
