"""Heads behind a stem, trained through the network: here, and at each rate by itself."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from stemtune.core import params
from stemtune.core.params import Params
from stemtune.core.paths import FRAMES, UNFINISHED_SEARCH
from stemtune.networks import classifier
from stemtune.store import manifest, shards
from stemtune.training import retrained_heads, search
from stemtune.training.search import Elsewhere
from tests.support.classifiers import SIDE, tiny_classifier
from tests.support.project import ROOT
from tests.support.spread import Spread

SPLITS = [manifest.TRAIN] * 8 + [manifest.VALIDATION] * 4
RATES = [0.1, 0.01, 0.001]


class Found(NamedTuple):
    """What a search came to, apart from times: its trials, and the best one's weights."""

    trials: list[tuple[str, float, dict[str, float], list[dict[str, float]]]]
    weights: list[np.ndarray]


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """The manifest of clips of one frame of noise, whose frames are stored."""
    monkeypatch.chdir(tmp_path)
    random, rows = np.random.default_rng(1), []
    for number, split in enumerate(SPLITS):
        name, label = str(number), number % 3
        frame = random.integers(0, 80 * (label + 1), (1, SIDE, SIDE, 3), np.uint8)
        shards.write(shards.path_of(FRAMES, name), frame)
        rows.append([name, "abc"[label], name, name, [split], ""])
    columns = ["clip", "class", "group", "shard", "frame_splits", "quarantined"]
    return pd.DataFrame(rows, columns=columns)


@pytest.fixture
def settings() -> Params:
    content = params.load(ROOT / "params.yaml").model_dump()
    content["extract_frames"]["size"] = SIDE
    content["train_best"]["batch_size"] = 3
    content["train_best"]["head"] |= {"dropout": 0.5, "cached_features": False}
    content["add_stem"]["retrained_head"] |= {
        "learning_rates": RATES,
        "epochs": 2,
        "augmentation": "flip",
    }
    return Params.model_validate(content)


def test_rates_that_run_side_by_side_come_to_the_same(
    table: pd.DataFrame, settings: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    stemmed, stored = tiny_classifier("average"), Path("stored")
    classifier.save_network(stemmed, stored)
    load = partial(retrained_heads.features_behind_stored, stored, FRAMES, table, settings)

    def train(elsewhere: Elsewhere | None) -> Found:
        data = retrained_heads.features_behind(stemmed, FRAMES, table, settings)
        told = {}
        found = retrained_heads.train(
            data,
            3,
            settings,
            "tested",
            lambda trial: told.update({trial.name: trial}),
            elsewhere=elsewhere,
        )
        trials = [
            (
                trial.name,
                trial.learning_rate,
                trial.metrics,
                [epoch.metrics for epoch in trial.history],
            )
            for trial in told.values()
        ]
        return Found(trials, found.head.get_weights())

    here = train(None)
    assert "side by side" not in capsys.readouterr().out
    search.clear(UNFINISHED_SEARCH)
    apart = train(Elsewhere(Spread(1), load))
    printed = capsys.readouterr().out
    assert "tested: 3 learning rates run side by side" in printed
    assert "tested: trial ahead, learning rate 0.1, seed" in printed
    assert [name for name, *_ in here.trials] == ["trial 1", "trial 2", "trial 3"]
    assert apart.trials == here.trials
    for one, other in zip(apart.weights, here.weights, strict=True):
        assert np.array_equal(one, other)
    # A run that was cut off has what is done: no rate runs again.
    again = train(Elsewhere(Spread(1), load))
    assert "learning rate 0.1, seed" not in capsys.readouterr().out
    assert again.trials == here.trials
