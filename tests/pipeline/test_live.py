"""Heads trained on frames that are mirrored at random, so that no feature is cached."""

import numpy as np
import pandas as pd
import pytest

from stemtune.networks import classifier
from stemtune.store import frame_store, manifest
from tests.support import small_backbone
from tests.support.project import ONE_VARIANT, UNTRACKED, Project

HEAD = {"units": 4, "dropout": 0.5, "augmentation": "flip", "cached_features": False}

pytestmark = pytest.mark.slow


def test_frames_mirrored_and_seen_at_a_side_of_their_own_run_through_the_whole_chain(
    project: Project, warm: dict[str, str]
) -> None:
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
    assert "tune_lr" in project.repro()
    outputs = ["tuning/trials.csv", "models/baseline/model.weights.h5"]
    before = [(project.root / name).read_bytes() for name in outputs]
    project.run("dvc", "repro", "--single-item", "--force", "tune_lr")
    project.run("dvc", "repro", "--single-item", "--force", "train_best")
    assert [(project.root / name).read_bytes() for name in outputs] == before
    # Judged by cached features and by frames, the stored classifier answers alike.
    predict = classifier.load(project.root / "models/baseline").predictor()
    table = manifest.frame_table(manifest.read(project.root / "manifest.parquet"))
    test = table[table["split"] == manifest.TEST]
    shown = [
        frame_store.read_frame(project.root / "frames", shard, 0, 96) for shard in test["shard"]
    ]
    classes = sorted(table["class"].unique())
    answers = [classes[label] for label in predict(np.stack(shown)).argmax(axis=1)]
    said = pd.read_csv(project.root / "plots/confusion/baseline.csv")["predicted"]
    assert said.tolist() == answers
