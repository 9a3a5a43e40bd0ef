"""Two backbones side by side, and heads trained on frames mirrored at random, uncached."""

import json
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from bench.project import QUICK_STEM
from stemtune.networks import classifier
from stemtune.store import frame_store, manifest
from tests.support import small_backbone
from tests.support.project import UNTRACKED, Project, embedded

HEAD = {"units": 4, "dropout": 0.5, "augmentation": "flip", "cached_features": False}

CLIPS, FEATURES = 12, 48
BOTH = [small_backbone.NAME, small_backbone.TWIN]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def noise(project: Project, warm: dict[str, str]) -> Project:
    project.environment = warm
    project.set_params(
        # With as many as there are processors, Ray would run one trial after another.
        runtime={"threads": 1},
        extract_frames={"size": 96, "frames_per_clip": 1},
        embed_frames={"input_sizes": {small_backbone.NAME: 80}},
        tune_lr={"epochs": 2, "seeds": [1], "learning_rates": [0.001]},
        train_best={"epochs": 2, "head": HEAD},
        add_stem=QUICK_STEM,
        compare={"bootstrap_samples": 100},
        track=UNTRACKED,
    )
    project.add_pictures(per_split=2, side=96)
    return project


def test_a_second_backbone_is_the_only_one_that_runs(noise: Project) -> None:
    noise.run("dvc", "repro", "embed_frames")
    noise.set_params(embed_frames={"backbones": BOTH, "weights": dict.fromkeys(BOTH, "random")})
    printed = noise.run("dvc", "repro", "embed_frames")
    counts = [each for each in embedded(printed) if not each.is_augmented]
    assert {96, 48} <= {each.side for each in counts}
    for each in counts:
        expected = (CLIPS, 0) if each.backbone == small_backbone.TWIN else (0, CLIPS)
        if each.side in (96, 48):
            assert (each.embedded, each.reused) == expected, each


def test_frames_mirrored_and_seen_at_a_side_of_their_own_run_through_the_whole_chain(
    noise: Project,
) -> None:
    assert "tune_lr" in noise.repro()
    found = json.loads((noise.root / "metrics/evaluate.json").read_text())
    hidden = (len(BOTH) * FEATURES + 1) * 4
    assert found["baseline"]["trainable_params"] == hidden + (4 + 1) * 2
    for retrained in found["retrained"].values():
        assert retrained["trainable_params"] == hidden + (4 + 1) * 2
    stem = found["stem"]["as_published"]
    assert stem["trainable_params"] == 528
    assert stem["total_params"] == found["baseline"]["total_params"] + 528
    outputs = ["tuning/trials.csv", "models/baseline/model.weights.h5"]
    before = [(noise.root / name).read_bytes() for name in outputs]
    noise.run("dvc", "repro", "--single-item", "--force", "tune_lr")
    noise.run("dvc", "repro", "--single-item", "--force", "train_best")
    assert [(noise.root / name).read_bytes() for name in outputs] == before
    # Judged by cached features and by frames, the stored classifier answers alike.
    predict = classifier.load(noise.root / "models/baseline").predictor()
    table = manifest.frame_table(manifest.read(noise.root / "manifest.parquet"))
    test = table[table["split"] == manifest.TEST]
    shown = [frame_store.read_frame(noise.root / "frames", shard, 0, 96) for shard in test["shard"]]
    classes = sorted(table["class"].unique())
    answers = [classes[label] for label in predict(np.stack(shown)).argmax(axis=1)]
    said = pd.read_csv(noise.root / "plots/confusion/baseline.csv")["predicted"]
    assert said.tolist() == answers


class Tuned(NamedTuple):
    """What tune_lr came to, and whether its trials ran side by side."""

    files: list[bytes]
    trials: list[Any]
    side_by_side: bool


def tune(project: Project) -> Tuned:
    project.run("python", "-m", "stemtune.run", "tune_lr")
    trials = json.loads((project.root / "records/tune_lr.json").read_text())["children"]
    times = sorted((trial["started"], trial["started"] + trial["seconds"]) for trial in trials)
    return Tuned(
        [(project.root / "tuning" / name).read_bytes() for name in ("trials.csv", "best.json")],
        [
            (trial["name"], trial["metrics"], [epoch["metrics"] for epoch in trial["epochs"]])
            for trial in trials
        ],
        any(start < end for (_, end), (start, _) in pairwise(times)),
    )


def test_on_ray_trials_run_side_by_side_and_come_to_the_same(noise: Project) -> None:
    # Two at a time, of three seeds: the last of a rate is beside the first of the next.
    rates = [0.01, 0.001, 0.0001, 0.00001]
    noise.set_params(tune_lr={"learning_rates": rates, "seeds": [1, 2, 3]})
    here = tune(noise)
    assert len(here.trials) == 4
    assert not here.side_by_side
    # A cluster of its own, whose processes are no forks.
    noise.environment = {"STEMTUNE_ENGINE": "ray"}
    assert tune(noise) == here._replace(side_by_side=True)
