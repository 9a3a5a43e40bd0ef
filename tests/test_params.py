"""params.yaml is refused, with the key and what is allowed, before any work is done."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from stemtune import params
from tests.conftest import ROOT

VARIANT = {"start": "filter", "objective": "labels", "learning_rates": None, "epochs": None}


def changed(tmp_path: Path, key: str, value: Any) -> Path:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    *blocks, last = key.split(".")
    if isinstance(value, dict) and last in value:
        *blocks, last = blocks
    place = content
    for block in blocks:
        place = place[block]
    if value is None:
        del place[last]
    else:
        place[last] = value
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_project_s_own_file_is_accepted() -> None:
    settings = params.load(ROOT / "params.yaml")
    assert settings.tune_lr.learning_rates == [0.01, 0.001, 0.0001, 0.00001]
    assert settings.add_stem.learning_rate is None


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("extract_frames.sizes", 224, "unknown setting"),
        ("extract_frames.size", "224", "valid integer"),
        ("extract_frames.size", 8, "greater than or equal to 32"),
        ("extract_frames.size", None, "is missing"),
        ("extract_frames.split.by", "video", "'group', 'clip' or 'frame'"),
        ("extract_frames.split.test", 1.5, "less than 1"),
        ("extract_frames.short_clips", "drop", "'repeat' or 'quarantine'"),
        ("extract_frames.near_duplicates", 64, "less than 32"),
        ("extract_frames.classes", ["one"], "at least 2 items"),
        ("extract_frames.limits.memory", 64, "greater than or equal to 1024"),
        ("extract_frames.split.lists", {"train": "../a.txt", "test": "b.txt"}, "pattern"),
        (
            "extract_frames.split",
            {
                "by": "frame",
                "lists": {"train": "a.txt", "test": "b.txt"},
                "validation": 0.1,
                "test": 0.1,
                "seed": 1,
            },
            "lists deal whole clips",
        ),
        ("embed_frames.backbones", [], "at least 1 item"),
        ("tune_lr.tuner", "bayes", "'bayesian', 'random', 'hyperband' or 'grid'"),
        ("tune_lr.learning_rates", [0.1, 0.1], "must not repeat"),
        ("tune_lr.learning_rates", [0.1, -1.0], "greater than 0"),
        ("tune_lr.learning_rates", [], "at least 1 item"),
        (
            "tune_lr.learning_rates.min",
            {"min": -1, "max": 0.1, "sampling": "log"},
            "greater than 0",
        ),
        (
            "tune_lr.learning_rates",
            {"min": 0.1, "max": 0.1, "sampling": "log"},
            "min must be below",
        ),
        ("tune_lr.learning_rates.sampling", {"min": 0.1, "max": 0.2, "sampling": "x"}, "'log' or"),
        ("tune_lr.max_trials", 0, "greater than or equal to 1"),
        ("tune_lr.seeds", [], "at least 1 item"),
        ("tune_lr.seeds", [3, 3], "must not repeat"),
        ("tune_lr.hyperband_factor", 1, "greater than or equal to 2"),
        ("tune_lr.epochs", 0, "greater than or equal to 1"),
        ("train_best.head.units", 0, "greater than or equal to 1"),
        ("train_best.head.dropout", 1.0, "less than 1"),
        ("embed_frames.input_sizes.vgg16", {"vgg16": 32}, "greater than or equal to 75"),
        ("add_stem.variants", {}, "at least 1 item"),
        ("train_best.trained_at", "half", "'full' or 'small'"),
        ("add_stem.input_size", "5x", "'2x', '3x' or '4x'"),
        ("add_stem.variants", {"../x": VARIANT}, "pattern"),
        ("add_stem.variants", {"mine": VARIANT | {"start": "zeros"}}, "'random' or 'filter'"),
        (
            "add_stem.variants",
            {"mine": VARIANT | {"objective": "logits"}},
            "'labels' or 'probabilities'",
        ),
        ("add_stem.variants", {"mine": VARIANT | {"learning_rates": []}}, "at least 1 item"),
        ("add_stem.variants", {"mine": VARIANT | {"epochs": 0}}, "greater than or equal to 1"),
        ("evaluate.resize_sides", [], "at least 1 item"),
        ("evaluate.resize_sides", [64, 64], "must not repeat"),
        ("evaluate.resize_sides", [16], "greater than or equal to 32"),
        ("evaluate.resize_sides", [64, 300], "not exceed extract_frames.size, 224; got [300]"),
        ("runtime.seed", 0, "greater than or equal to 1"),
        ("runtime.threads", True, "valid integer"),
        ("ci.max_accuracy_drop.stem", 1.5, "less than or equal to 1"),
        ("ci.max_accuracy_drop.baseline", None, "is missing"),
        ("ci.max_quarantined", -1, "greater than or equal to 0"),
    ],
)
def test_bad_values_are_named(tmp_path: Path, key: str, value: Any, said: str) -> None:
    with pytest.raises(params.ParamsError) as error:
        params.load(changed(tmp_path, key, value))
    assert key in str(error.value)
    assert said in str(error.value)


def test_shares_that_leave_nothing_to_train_on_are_refused(tmp_path: Path) -> None:
    path = changed(tmp_path, "extract_frames.split.test", 0.9)
    with pytest.raises(params.ParamsError, match=r"extract_frames.split: validation \+ test"):
        params.load(path)


@pytest.mark.parametrize(("input_size", "least"), [("2x", 71), ("3x", 102), ("4x", 133)])
def test_frames_too_small_for_the_stem_are_refused(
    tmp_path: Path, input_size: str, least: int
) -> None:
    path = changed(tmp_path, "add_stem.input_size", input_size)
    content = yaml.safe_load(path.read_text())
    for size in (least, least - 1):
        content["extract_frames"]["size"] = size
        path.write_text(yaml.safe_dump(content))
        if size == least:
            assert params.load(path).small_side == 32
        else:
            with pytest.raises(
                params.ParamsError, match=rf"size: must be {least} or more .*{size}"
            ):
                params.load(path)


def test_either_reading_is_one_setting_away(tmp_path: Path) -> None:
    assert params.load(ROOT / "params.yaml").trained_side == 224
    assert params.load(changed(tmp_path, "train_best.trained_at", "small")).trained_side == 108


def test_weights_of_a_backbone_that_is_not_used_are_refused(tmp_path: Path) -> None:
    path = changed(tmp_path, "embed_frames.weights", {"vgg16": "random"})
    with pytest.raises(params.ParamsError, match=r"embed_frames: weights are given for .*vgg16"):
        params.load(path)


RANGE = {"min": 0.00001, "max": 0.01, "sampling": "log"}


@pytest.mark.parametrize(
    ("tune_lr", "said"),
    [
        ({"max_trials": 4}, "max_trials must be null with a list of learning_rates"),
        ({"learning_rates": RANGE}, "max_trials must be a whole number from 1 on"),
        ({"learning_rates": RANGE, "tuner": "grid", "max_trials": 4}, "grid .* needs a list"),
        ({"tuner": "hyperband", "max_trials": 4}, "max_trials must be null with tuner hyperband"),
        ({"tuner": "hyperband", "epochs": 2}, "epochs of at least hyperband_factor.* 2 and 3"),
    ],
)
def test_a_tuner_that_does_not_suit_its_rates_is_refused(
    tmp_path: Path, tune_lr: dict[str, Any], said: str
) -> None:
    path = tmp_path / "params.yaml"
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["tune_lr"] |= tune_lr
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(params.ParamsError, match=f"tune_lr: .*{said}"):
        params.load(path)


@pytest.mark.parametrize(
    "tune_lr",
    [
        {"learning_rates": RANGE, "max_trials": 10},
        {"learning_rates": RANGE, "tuner": "random", "max_trials": 10},
        {"learning_rates": RANGE, "tuner": "hyperband"},
        {"tuner": "hyperband"},
        {"tuner": "grid"},
    ],
)
def test_a_tuner_that_suits_its_rates_is_accepted(tmp_path: Path, tune_lr: dict[str, Any]) -> None:
    path = tmp_path / "params.yaml"
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["tune_lr"] |= tune_lr
    path.write_text(yaml.safe_dump(content))
    assert params.load(path).tune_lr.tuner == tune_lr.get("tuner", "bayesian")


def test_augmentation_of_cached_features_is_refused_with_both_ways_out(tmp_path: Path) -> None:
    path = changed(tmp_path, "train_best.head.augmentation", "flip")
    with pytest.raises(params.ParamsError, match=r"train_best.head: augmentation flip") as error:
        params.load(path)
    assert "cached_features: false" in str(error.value)
    assert "augmentation: none" in str(error.value)


def test_every_mistake_is_listed_at_once(tmp_path: Path) -> None:
    path = changed(tmp_path, "tune_lr.epochs", "five")
    path.write_text(path.read_text() + "\nextra: 1\n")
    with pytest.raises(params.ParamsError) as error:
        params.load(path)
    assert "tune_lr.epochs" in str(error.value)
    assert "extra" in str(error.value)


def test_settings_are_named_by_their_place() -> None:
    settings = params.load(ROOT / "params.yaml")
    named = params.flat("add_stem", settings.add_stem)
    assert named["add_stem.epochs"] == 5
    assert named["add_stem.variants.paper.start"] == "random"


def test_a_missing_file_is_told_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(params.ParamsError, match="dvc.yaml"):
        params.load(tmp_path / "params.yaml")
