"""The paper's three networks through the whole chain, with random weights and few frames."""

import json
from pathlib import Path

import h5py
import keras
import pandas as pd
import pytest
from dvc.utils.serialize import modify_yaml
from keras.src.legacy.saving import legacy_h5_format

from stemtune.core import files, params
from stemtune.core.files import sha256
from stemtune.core.settings.frames import Split
from stemtune.ingest import splits
from stemtune.store import manifest
from tests.support.clips import scene, write_frames
from tests.support.project import UNTRACKED, Project, embedded

PAPER = ["vgg16", "resnet50", "inception_v3"]
FEATURES = {"vgg16": 512, "resnet50": 2048, "inception_v3": 2048}
# Behind the stem 80 px; Inception v3 sees no less than 75.
SIDE, SMALL_SIDE, CLIPS = 160, 80, 6
HEAD = {"units": 4, "dropout": 0.5, "augmentation": "none", "cached_features": True}
# Classes as their folders are called, and as their clips are.
UCF101 = {"ApplyEyeMakeup": "ApplyEyeMakeup", "HandstandPushups": "HandStandPushups"}

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
def ucf101(project: Project, warm: dict[str, str], weights_file: Path) -> Project:
    """A tree like UCF101's, and the paper's profile made quick; params.yaml has its frames, too."""
    project.environment = warm
    with (project.root / "stemtune/networks/cost.py").open("a") as file:
        # Nobody looks at times here, and taking them takes longer than all else.
        file.write("\nTIMED_BATCH, TIMED_REPEATS = 2, 1\n")
    with modify_yaml(project.root / "profiles/paper.yaml") as profile:
        profile["extract_frames"] |= {"frames_per_clip": 1, "size": SIDE}
        profile["embed_frames"] |= embedding(PAPER, weights_file, sha256(weights_file))
        profile["compare"]["sides"] = [SMALL_SIDE]
        for block in ("tune_lr", "train_best", "add_stem"):
            profile[block]["epochs"] = 1
        profile["train_best"]["head"] = HEAD
        profile["add_stem"]["retrained_head"]["epochs"] = 1
        profile["add_stem"]["learning_rates"] = [0.001]
    quick = files.read_yaml(project.root / "profiles/paper.yaml")
    split = params.load(project.root / "params.yaml").extract_frames.split
    dealt = split.model_dump() | quick["extract_frames"]["split"]
    project.set_params(
        extract_frames=quick["extract_frames"] | {"split": dealt},
        tune_lr={"seeds": [1]},
        add_stem={"batch_size": 2, "retrained_head": quick["add_stem"]["retrained_head"]},
        compare=quick["compare"] | {"bootstrap_samples": 100},
        track=UNTRACKED,
    )
    write_ucf101(project.root / "data", Split.model_validate(dealt))
    project.run("dvc", "add", "--quiet", "data")
    return project


def embedding(names: list[str], weights_file: Path, checksum: str) -> dict[str, object]:
    """Returns settings of embed_frames with these networks, VGG16 from its file."""
    weights: dict[str, object] = {name: "random" for name in names if name != "vgg16"}
    local = {"vgg16": {"path": str(weights_file), "sha256": checksum}}
    return {"backbones": names, "weights": weights | local}


def test_a_local_weights_file_with_another_checksum_stops_the_run_before_decoding(
    ucf101: Project, weights_file: Path
) -> None:
    ucf101.set_params(embed_frames=embedding(PAPER[:2], weights_file, "0" * 64))
    with pytest.raises(RuntimeError, match=r"vgg16_notop.h5 has SHA-256 .*expected 000"):
        ucf101.run("dvc", "repro", "embed_frames")
    assert not (ucf101.root / "frames").exists()


@pytest.mark.footage
def test_a_third_backbone_is_the_only_one_that_runs(ucf101: Project, weights_file: Path) -> None:
    checksum = sha256(weights_file)
    ucf101.set_params(embed_frames=embedding(PAPER[:2], weights_file, checksum))
    printed = ucf101.run("dvc", "repro", "embed_frames")
    made = sides_of(printed, CLIPS, 0)
    # The side of equal cost is one of theirs together.
    sides = {side for _, side in made}
    assert {SIDE, SMALL_SIDE} <= sides
    assert sorted(made) == sorted((name, side) for name in PAPER[:2] for side in sides)
    ucf101.set_params(embed_frames=embedding(PAPER, weights_file, checksum))
    printed = ucf101.run("dvc", "repro", "embed_frames")
    reused, made = sides_of(printed, 0, CLIPS), sides_of(printed, CLIPS, 0)
    for side in (SIDE, SMALL_SIDE):
        assert {(name, side) for name in PAPER[:2]} <= {*reused}
        assert ("inception_v3", side) in made


def sides_of(printed: str, made: int, reused: int) -> list[tuple[str, int]]:
    """Returns each backbone with each side of which embed_frames says these counts."""
    return [
        (each.backbone, each.side)
        for each in embedded(printed)
        if not each.is_augmented and (each.embedded, each.reused) == (made, reused)
    ]


def write_ucf101(data: Path, split: Split) -> None:
    """Writes a clip of each class and split, and the lists as they are published."""
    lists: dict[str, list[str]] = {"classInd.txt": [], "trainlist01.txt": [], "testlist01.txt": []}
    for number, (label, called) in enumerate(UCF101.items(), start=1):
        # Seven groups are test; of the others one is found that is dealt to each split.
        dealt = {splits.TEST: f"v_{called}_g01"}
        for group in (f"v_{called}_g{group:02}" for group in range(8, 26)):
            dealt.setdefault(splits.deal(group, split, splits.TRAIN), group)
        for place, group in dealt.items():
            name = f"{label}/{group}_c01.avi"
            write_frames(data / name, scene(10 * number + len(place)), codec="mpeg4")
            test = place == splits.TEST
            lists["testlist01.txt" if test else "trainlist01.txt"].append(
                name if test else f"{name} {number}"
            )
        lists["classInd.txt"].append(f"{number} {label}")
    for name, lines in lists.items():
        (data / name).write_text("".join(f"{line}\r\n" for line in lines))


@pytest.mark.footage
def test_the_paper_s_profile_runs_on_a_tree_like_ucf101_s(ucf101: Project) -> None:
    ucf101.commit("Take UCF101")
    # Frames and features are there by now: with the profile they are to be the same.
    printed = ucf101.run("python", "-m", "profiles", "paper")
    assert "kept as the experiment paper-" in printed
    assert "params.yaml" not in ucf101.run("git", "status", "--porcelain")
    clips = manifest.read(ucf101.root / "manifest.parquet").set_index("clip")
    assert set(clips["class"]) == set(UCF101)
    assert set(clips["grouped_by"]) == {"name"}
    odd = clips.loc["HandstandPushups/v_HandStandPushups_g01_c01.avi"]
    assert (odd["group"], odd["split"]) == ("v_HandStandPushups_g01", "test")
    assert sorted(clips["split"]) == ["test"] * 2 + ["train"] * 2 + ["validation"] * 2

    found = json.loads((ucf101.root / "metrics/evaluate.json").read_text())
    hidden = (sum(FEATURES.values()) + 1) * 4
    assert found["baseline"]["trainable_params"] == hidden + (4 + 1) * 2
    for retrained in found["retrained"].values():
        assert retrained["trainable_params"] == hidden + (4 + 1) * 2
    assert set(found["stem"]) == {"as_published", "as_published_full"}
    for stem in found["stem"].values():
        assert stem["trainable_params"] == 528
        assert stem["total_params"] == found["baseline"]["total_params"] + 528
        assert stem["flops_per_frame"] < found["baseline"]["flops_per_frame"] / 3
    tried = pd.read_csv(ucf101.root / "tuning/trials.csv")["learning_rate"]
    assert sorted(tried) == [0.00001, 0.0001, 0.001, 0.01]
    assert (ucf101.root / "report/index.html").stat().st_size > 10_000
