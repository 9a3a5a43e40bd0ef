"""Two backbones side by side, and heads trained on frames mirrored at random, uncached."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from stemtune.networks import classifier
from stemtune.store import frame_store, manifest
from tests.support import small_backbone
from tests.support.project import ONE_VARIANT, UNTRACKED, Project

HEAD = {"units": 4, "dropout": 0.5, "augmentation": "flip", "cached_features": False}

CLIPS, FEATURES = 12, 48
BOTH = [small_backbone.NAME, small_backbone.TWIN]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def noise(project: Project, warm: dict[str, str]) -> Project:
    project.environment = warm
    project.set_params(
        extract_frames={"size": 96, "frames_per_clip": 1},
        embed_frames={"input_sizes": {small_backbone.NAME: 80}},
        tune_lr={"epochs": 2, "seeds": [1], "learning_rates": [0.001]},
        train_best={"epochs": 2, "head": HEAD},
        add_stem={"epochs": 1, "variants": ONE_VARIANT},
        evaluate={"bootstrap_samples": 100},
        track=UNTRACKED,
    )
    project.add_pictures(per_split=2, side=96)
    return project


def test_a_second_backbone_is_the_only_one_that_runs(noise: Project) -> None:
    noise.run("dvc", "repro", "embed_frames")
    noise.set_params(embed_frames={"backbones": BOTH, "weights": dict.fromkeys(BOTH, "random")})
    printed = noise.run("dvc", "repro", "embed_frames")
    counts = re.findall(r"(\w+) at (\d+) px: (\d+) clips embedded, (\d+) reused", printed)
    assert {"96", "44"} <= {side for _, side, *_ in counts}
    for name, side, embedded, reused in counts:
        expected = (CLIPS, 0) if name == small_backbone.TWIN else (0, CLIPS)
        if side in ("96", "44"):
            assert (int(embedded), int(reused)) == expected, (name, side)


def test_frames_mirrored_and_seen_at_a_side_of_their_own_run_through_the_whole_chain(
    noise: Project,
) -> None:
    assert "tune_lr" in noise.repro()
    found = json.loads((noise.root / "metrics/evaluate.json").read_text())
    hidden = (len(BOTH) * FEATURES + 1) * 4
    assert found["baseline"]["trainable_params"] == hidden + (4 + 1) * 2
    assert found["resize_retrained"]["trainable_params"] == hidden + (4 + 1) * 2
    stem = found["stem"]["warm_start"]
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
