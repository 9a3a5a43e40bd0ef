"""The paper's three networks through the whole chain, with random weights and few frames."""

import json
import re
from pathlib import Path

import h5py
import keras
import pandas as pd
import pytest
from keras.src.legacy.saving import legacy_h5_format

from stemtune.core.files import sha256
from tests.support.project import ONE_VARIANT, UNTRACKED, Project

PAPER = ["vgg16", "resnet50", "inception_v3"]
FEATURES = {"vgg16": 512, "resnet50": 2048, "inception_v3": 2048}
# Behind the stem 76 px; Inception v3 sees no less than 75.
SIDE, SMALL_SIDE, CLIPS = 160, 76, 6
HEAD = {"units": 4, "dropout": 0.5, "augmentation": "none", "cached_features": True}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random values in the format of the file that Keras publishes."""
    path = tmp_path_factory.mktemp("weights") / "vgg16_notop.h5"
    with h5py.File(path, "w") as file:
        network = keras.applications.VGG16(weights=None, include_top=False)
        legacy_h5_format.save_weights_to_hdf5_group(file, network)
    return path


@pytest.fixture(scope="module")
def small(project: Project, warm: dict[str, str]) -> Project:
    project.environment = warm
    project.set_params(
        extract_frames={"size": SIDE, "frames_per_clip": 1},
        tune_lr={"epochs": 1, "seeds": [1], "learning_rates": [0.001, 0.0001]},
        train_best={"epochs": 1, "head": HEAD},
        add_stem={"epochs": 1, "batch_size": 2, "variants": ONE_VARIANT},
        evaluate={"bootstrap_samples": 100},
        track=UNTRACKED,
    )
    project.add_pictures(per_split=1, side=SIDE)
    return project


def use(project: Project, names: list[str], weights_file: Path, checksum: str) -> None:
    given = {name: "random" for name in names if name != "vgg16"}
    local = {"vgg16": {"path": str(weights_file), "sha256": checksum}}
    project.set_params(embed_frames={"backbones": names, "weights": given | local})


def test_a_local_weights_file_with_another_checksum_stops_the_run_before_decoding(
    small: Project, weights_file: Path
) -> None:
    use(small, PAPER[:2], weights_file, "0" * 64)
    with pytest.raises(RuntimeError, match=r"vgg16_notop.h5 has SHA-256 .*expected 000"):
        small.run("dvc", "repro", "embed_frames")
    assert not (small.root / "frames").exists()


def test_a_third_backbone_is_the_only_one_that_runs(small: Project, weights_file: Path) -> None:
    use(small, PAPER[:2], weights_file, sha256(weights_file))
    printed = small.run("dvc", "repro", "embed_frames")
    embedded = re.findall(rf"(\w+) at (\d+) px: {CLIPS} clips embedded, 0 reused", printed)
    # The side of equal cost is one of theirs together.
    sides = {int(side) for _, side in embedded}
    assert {SIDE, SMALL_SIDE} <= sides
    assert sorted(embedded) == sorted((name, str(side)) for name in PAPER[:2] for side in sides)
    use(small, PAPER, weights_file, sha256(weights_file))
    printed = small.run("dvc", "repro", "embed_frames")
    for side in (SIDE, SMALL_SIDE):
        for name in PAPER[:2]:
            assert f"{name} at {side} px: 0 clips embedded, {CLIPS} reused" in printed
        assert f"inception_v3 at {side} px: {CLIPS} clips embedded, 0 reused" in printed


def test_the_composite_network_runs_through_the_whole_chain(
    small: Project, weights_file: Path
) -> None:
    use(small, PAPER, weights_file, sha256(weights_file))
    assert small.repro()[-1] == "track"
    found = json.loads((small.root / "metrics/evaluate.json").read_text())
    hidden = (sum(FEATURES.values()) + 1) * 4
    assert found["baseline"]["trainable_params"] == hidden + (4 + 1) * 2
    assert found["resize_retrained"]["trainable_params"] == hidden + (4 + 1) * 2
    stem = found["stem"]["warm_start"]
    assert stem["trainable_params"] == 528
    assert stem["total_params"] == found["baseline"]["total_params"] + 528
    assert stem["flops_per_frame"] < found["baseline"]["flops_per_frame"] / 3
    assert len(pd.read_csv(small.root / "tuning/trials.csv")) == 2
    assert (small.root / "report/index.html").stat().st_size > 10_000
