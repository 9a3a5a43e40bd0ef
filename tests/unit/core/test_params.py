"""params.yaml is refused, with the key and what is allowed, before any work is done."""

from pathlib import Path
from typing import Any

import pytest
from dvc.utils.serialize import dump_yaml

from stemtune.core import all_params, files, geometry, params
from stemtune.core.errors import InputError
from tests.support.project import ROOT

VARIANT = {"head": "frozen_small"}


def changed(tmp_path: Path, key: str, value: Any) -> Path:
    content = files.read_yaml(ROOT / "params.yaml")
    *blocks, last = key.split(":")[0].split(".")
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
    dump_yaml(path, content)
    return path


def test_the_project_s_own_file_is_accepted() -> None:
    settings = all_params.load(ROOT / "params.yaml")
    assert settings.tune_lr.learning_rates == [0.01, 0.001, 0.0001, 0.00001]
    assert list(settings.add_stem.variants) == ["as_published", "as_published_full"]


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
        ("extract_frames.limits.memory_mib", 64, "greater than or equal to 1024"),
        ("extract_frames.split.lists", {"train": "../a.txt", "test": "b.txt"}, "pattern"),
        (
            "extract_frames.split",
            {
                "by": "frame",
                "lists": {"train": "a.txt", "test": "b.txt"},
                "folders": None,
                "validation": 0.1,
                "test": 0.1,
                "seed": 1,
            },
            "lists split whole clips",
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
        ("add_stem.downscale", 5, "2, 3 or 4"),
        ("add_stem.variants", {"../x": VARIANT}, "pattern"),
        *(
            (f"add_stem.variants.{name}: {name} is the name", {name: VARIANT}, "give the variant")
            for name in ("baseline", "resize", "resize_112", "retrained_128", "stored")
        ),
        ("add_stem.variants", {"mine": {"head": "new"}}, "'frozen_small' or 'frozen_full'"),
        ("add_stem.variants", {"mine": VARIANT | {"start": "average"}}, "unknown setting"),
        ("add_stem.learning_rates", [], "at least 1 item"),
        ("add_stem.learning_rates", [1], "less than 1"),
        ("add_stem.learning_rates", [0.1, 0.1], "must not repeat"),
        ("add_stem.retrained_head.learning_rates", [], "at least 1 item"),
        ("compare.acceptable_loss", 2, "less than or equal to 1"),
        ("compare.min_groups", 1, "greater than or equal to 2"),
        ("compare.sides", [64, 64], "must not repeat"),
        ("compare.sides", [16], "greater than or equal to 32"),
        ("compare.sides", [64, 300], "not exceed extract_frames.size, 224; got [300]"),
        ("runtime.seed", 0, "greater than or equal to 1"),
        ("runtime.threads", True, "valid integer"),
        ("ci.max_accuracy_drop.stem", 1.5, "less than or equal to 1"),
        ("ci.max_accuracy_drop.baseline", None, "is missing"),
        ("ci.max_quarantined", -1, "greater than or equal to 0"),
    ],
)
def test_bad_values_are_named(tmp_path: Path, key: str, value: Any, said: str) -> None:
    with pytest.raises(params.ParamsError) as error:
        all_params.load(changed(tmp_path, key, value))
    assert key in str(error.value)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("written", "rate"),
    [("1e-05", 0.00001), ("1e-3", 0.001), ("1E-2", 0.01), (".5", 0.5), ("0.00001", 0.00001)],
)
def test_numbers_are_those_of_yaml_1_2(tmp_path: Path, written: str, rate: float) -> None:
    path = tmp_path / "params.yaml"
    own = (ROOT / "params.yaml").read_text()
    path.write_text(own.replace("max_stem_gap: 0.25", f"max_stem_gap: {written}"))
    assert all_params.load(path).ci.max_stem_gap == rate
    path.write_text(own.replace("[0.01, 0.003, 0.001]", f"[{written}]"))
    assert all_params.load(path).add_stem.learning_rates == [rate]
    assert files.parse_yaml(f"rate: {written}", "dvc.lock") == {"rate": rate}


def test_words_and_times_are_text_as_dvc_reads_them() -> None:
    written = "no: [yes, on, 1:30, 0o17, 017]"
    assert files.parse_yaml(written, "a") == {"no": ["yes", "on", "1:30", 15, 17]}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("  epochs: 5 : 6", r"line 2, column 13: this is not valid YAML: mapping values are not"),
        ("\tepochs: 5", r"line 2, column 1: .*found character '\\t' that cannot start any token"),
        ("  a: 1\n  a: 2", r'line 3, column 3: .*found duplicate key "a"$'),
        ("  a: \x07", r"unacceptable character #x0007"),
        ("  # caf\xe9", r"line 2: is not UTF-8; its byte 0xE9"),
    ],
)
def test_what_is_not_yaml_is_named_by_its_place(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(f"tune_lr:\n{line}\n".encode("cp1252"))
    with pytest.raises(InputError, match=said) as error:
        all_params.load(path)
    assert str(error.value).startswith(str(path))


def test_shares_that_leave_nothing_to_train_on_are_refused(tmp_path: Path) -> None:
    path = changed(tmp_path, "extract_frames.split.test", 0.9)
    with pytest.raises(params.ParamsError, match=r"extract_frames.split: validation \+ test"):
        all_params.load(path)


@pytest.mark.parametrize(("downscale", "least"), [(2, 71), (3, 102), (4, 133)])
def test_frames_too_small_for_the_stem_are_refused(
    tmp_path: Path, downscale: int, least: int
) -> None:
    path = changed(tmp_path, "add_stem.downscale", downscale)
    content = files.read_yaml(path)
    content["compare"]["sides"] = []
    for size in (least, least - 1):
        content["extract_frames"]["size"] = size
        dump_yaml(path, content)
        if size == least:
            assert geometry.behind_stem(size, downscale) == 32
            assert all_params.load(path).small_side == least // downscale
        else:
            with pytest.raises(
                params.ParamsError, match=rf"size: must be {least} or more .*{size}"
            ):
                all_params.load(path)


def test_the_full_side_and_the_small_one_are_always_compared(tmp_path: Path) -> None:
    assert all_params.load(changed(tmp_path, "compare.sides", [160])).sides == [112, 160, 224]


def test_weights_of_a_backbone_that_is_not_used_are_refused(tmp_path: Path) -> None:
    path = changed(tmp_path, "embed_frames.weights", {"vgg16": "random"})
    with pytest.raises(params.ParamsError, match=r"embed_frames\.weights: given for .*vgg16"):
        all_params.load(path)
    content = files.read_yaml(path)
    content["compare"]["backbones"] = ["vgg16"]
    dump_yaml(path, content)
    heads = all_params.load(path).retrained
    assert [each.key for each in heads] == [
        "112",
        "160",
        "224",
        *(f"vgg16_{side}" for side in (112, 160, 224)),
    ]


def test_a_backbone_that_is_compared_anyway_is_refused(tmp_path: Path) -> None:
    path = changed(tmp_path, "compare.backbones", ["efficientnet_lite0"])
    with pytest.raises(params.ParamsError, match=r"backbones: a backbone is named twice; got"):
        all_params.load(path)


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
    content = files.read_yaml(ROOT / "params.yaml")
    content["tune_lr"] |= tune_lr
    dump_yaml(path, content)
    with pytest.raises(params.ParamsError, match=f"tune_lr: .*{said}"):
        all_params.load(path)


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
    content = files.read_yaml(ROOT / "params.yaml")
    content["tune_lr"] |= tune_lr
    dump_yaml(path, content)
    assert all_params.load(path).tune_lr.tuner == tune_lr.get("tuner", "bayesian")


def test_augmentation_of_cached_features_is_refused_with_both_ways_out(tmp_path: Path) -> None:
    path = changed(tmp_path, "train_best.head.augmentation", "flip")
    with pytest.raises(params.ParamsError, match=r"train_best.head: augmentation flip") as error:
        all_params.load(path)
    assert "cached_features: false" in str(error.value)
    assert "augmentation: none" in str(error.value)


def test_every_mistake_is_listed_at_once(tmp_path: Path) -> None:
    path = changed(tmp_path, "tune_lr.epochs", "five")
    path.write_text(path.read_text() + "\nextra: 1\n")
    with pytest.raises(params.ParamsError) as error:
        all_params.load(path)
    assert "tune_lr.epochs" in str(error.value)
    assert "extra" in str(error.value)


def test_settings_are_named_by_their_place() -> None:
    settings = all_params.load(ROOT / "params.yaml")
    named = params.flat("add_stem", settings.add_stem)
    assert named["add_stem.epochs"] == 5
    assert named["add_stem.variants.as_published.head"] == "frozen_small"
    # A setting that was emptied must not vanish from what changed.
    assert params.flat("embed_frames", settings.embed_frames)["embed_frames.weights"] == {}


def test_a_missing_file_is_told_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(params.ParamsError, match="dvc.yaml"):
        all_params.load(tmp_path / "params.yaml")
