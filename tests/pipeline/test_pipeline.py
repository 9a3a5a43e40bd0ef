"""The whole chain under DVC, small: results, caching, MLflow and repeatability.

Once on sample clips with a backbone of two layers, and once as it is used: on all footage there is,
with the default backbone.
"""

import html
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from stemtune.core import dvc, files, records
from stemtune.evaluation import advice
from stemtune.evaluation.comparison import Comparison
from stemtune.export import exports
from stemtune.store import manifest
from tests.support import servers
from tests.support.browser import assert_sound, compared, look_at
from tests.support.mlflow_tree import assert_one_run_per_key, assert_whole, children, parents
from tests.support.project import LITE, ROOT, UNTRACKED, Project, embedded

SAMPLES, FOOTAGE = ROOT / "data", ROOT.parent / "shared/data/clips"
# Real footage lies beside a checkout where there is any; the sample clips come with the project.
SOURCES = [path for path in (SAMPLES, FOOTAGE) if path.is_dir()]
STAGES = [
    "extract_frames",
    "embed_frames",
    "tune_lr",
    "train_best",
    "train_resized",
    "add_stem@as_published",
    "add_stem@as_published_full",
    "evaluate",
    "export",
    "report",
    "track",
]
OUTPUTS = [
    "frames",
    "manifest.parquet",
    "embeddings",
    "embeddings_augmented",
    "tuning",
    "models",
    "exports",
    "plots",
    "predictions",
    "predictions_exported",
    "report",
]

# What the first run printed, beside the project.
PRINTED = "printed"
METRICS = [f"metrics/{stage}.json" for stage in ("extract_frames", "evaluate", "export")]

pytestmark = pytest.mark.slow

# Tests that run the chain again do so for one of both.
REAL = pytest.param("real", marks=pytest.mark.footage)
SMALL_ALONE, REAL_ALONE = (
    pytest.mark.parametrize("is_real", [one], indirect=True, scope="module")
    for one in ("small", REAL)
)


@pytest.fixture(scope="module", params=["small", REAL])
def is_real(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "real")


@pytest.fixture(scope="module")
def environment(is_real: bool, warm: dict[str, str]) -> dict[str, str]:
    """Variables with which, on real footage, each stage is a process of its own, as it is used."""
    return {} if is_real else warm


@pytest.fixture(scope="module")
def prepared(
    is_real: bool, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """The project with a subset of clips, settings that make it quick, and one run behind it.

    Real and rendered clips are classes of one project: a stage takes longer to start than to run.
    """
    project = Project(tmp_path_factory.mktemp("project with spaces и кириллицей"))
    project.environment = environment
    for source in SOURCES if is_real else [SAMPLES]:
        project.fill(source, per_split=2)
    if is_real:
        project.set_params(embed_frames=LITE)
        project.set_workers(2)
    heads = [] if is_real else ["retrained"]
    project.set_params(
        extract_frames={"size": 96, "frames_per_clip": 2},
        tune_lr={"epochs": 2},
        train_best={"epochs": 2},
        add_stem={
            "epochs": 1,
            "learning_rates": [0.001, 0.01],
            "retrained_head": {
                "learning_rates": [0.01, 0.001],
                "epochs": 3,
                "augmentation": "flip",
            },
        },
        compare={"bootstrap_samples": 200},
        # Files of the default backbone take long; those of heads are made on rendered clips.
        export={"models": ["baseline", "stem", *heads], "calibration_frames": 8},
    )
    project.run("dvc", "add", "--quiet", "data")
    printed = project.run(sys.executable, "-m", dvc.TERSE, "repro")
    assert re.findall(r"^Running stage '(.+)':$", printed, flags=re.MULTILINE) == STAGES
    (project.root.parent / PRINTED).write_text(printed, encoding="utf-8")
    yield project
    project.remove()


def test_a_whole_run_fits_on_a_screen(prepared: Project) -> None:
    printed = (prepared.root.parent / PRINTED).read_text(encoding="utf-8")
    lines = printed.splitlines()
    # An address that is cut opens nothing.
    assert max(len(line) for line in lines if "file://" not in line) <= 100, printed
    assert len(lines) <= 62, printed
    assert "dvc push" not in printed
    assert not re.search(r"^> sh|^Updating lock|epoch 1/", printed, flags=re.MULTILINE)
    # Each stage that leaves a record ends with its seconds.
    assert len(re.findall(r"\d s$", printed, flags=re.MULTILINE)) == len(STAGES) - 1, printed
    assert re.search(r"^  0\.01     \d+\.\d ± \d+\.\d", printed, flags=re.MULTILINE)
    assert re.search(r"^  retrained_48: validation accuracy \d", printed, flags=re.MULTILINE)


def metrics(project: Project) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((project.root / "metrics/evaluate.json").read_text())
    return content


def contents(project: Project) -> dict[str, bytes]:
    files = [
        path
        for name in [*OUTPUTS, *METRICS]
        for path in [project.root / name, *(project.root / name).rglob("*")]
        if path.is_file()
    ]
    return {path.relative_to(project.root).as_posix(): path.read_bytes() for path in files}


def test_the_comparison_has_every_model_and_number(prepared: Project) -> None:
    from stemtune.networks import classifier, cost

    found = metrics(prepared)
    assert set(found) == {"baseline", "resize", "retrained", "stem", "paper"}
    assert set(found["stem"]) == {"as_published", "as_published_full"}
    assert found["paper"]["baseline"] == {"test_accuracy": 0.9207}
    assert found["paper"]["stem"] == {"test_accuracy": 0.8437}
    assert set(found["retrained"]) == {"48", "96"}
    assert set(found["resize"]) == {"48"}
    models = Comparison.model_validate(found).models
    for entry in (model.values() for model in models.values()):
        assert set(entry) - {"stem_params"} == {
            "test_accuracy",
            "test_accuracy_low",
            "test_accuracy_high",
            "clip_accuracy",
            "clip_accuracy_low",
            "clip_accuracy_high",
            "validation_accuracy",
            "validation_loss",
            "calibration_error",
            "trainable_params",
            "total_params",
            "flops_per_frame",
            "input_size",
        }
        for kind in ("test", "clip"):
            low, at, high = (entry[f"{kind}_accuracy{end}"] for end in ("_low", "", "_high"))
            assert 0 <= low <= at <= high <= 1
    baseline = found["baseline"]
    for stem in found["stem"].values():
        assert stem["stem_params"] == stem["trainable_params"] == 528
        assert stem["total_params"] == baseline["total_params"] + 528
        assert stem["input_size"] == 96
    assert only_stems_differ(prepared, "as_published", "retrained/48")
    assert only_stems_differ(prepared, "as_published_full", "baseline")
    assert not only_stems_differ(prepared, "as_published", "baseline")
    assert "stem_params" not in baseline
    stored = classifier.load(prepared.root / "models/stem/as_published")
    assert cost.flops(stored.model, 96) == found["stem"]["as_published"]["flops_per_frame"]
    small = found["resize"]["48"]
    assert (small["trainable_params"], small["input_size"]) == (0, 48)
    assert small["flops_per_frame"] < baseline["flops_per_frame"] / 2


def test_predictions_are_what_the_numbers_were_counted_from(prepared: Project) -> None:
    found = Comparison.model_validate(metrics(prepared))
    table = manifest.frame_table(manifest.read(prepared.root / "manifest.parquet"))
    for name, entry in found.models.items():
        rows = pd.read_parquet(prepared.root / f"predictions/{name}.parquet")
        assert [*rows.columns] == ["candidate", "clip", "frame", "split", "probabilities"]
        assert set(rows["candidate"]) == {name}
        both = rows.merge(table, left_on=["clip", "frame"], right_on=["clip", "index"])
        assert len(both) == len(rows) == (table["split"] != "train").sum()
        test = both[both["split_x"] == "test"]
        right = np.stack(test["probabilities"]).argmax(axis=1) == test["label"]
        assert right.mean() == pytest.approx(entry.test_accuracy)


def test_the_table_of_classes_adds_up_to_the_accuracies(prepared: Project) -> None:
    models = Comparison.model_validate(metrics(prepared)).models
    classes = pd.read_csv(prepared.root / "plots/classes.csv")
    for name, part in classes.groupby("model"):
        accuracy = (part["accuracy"] * part["frames"]).sum() / part["frames"].sum()
        assert accuracy == pytest.approx(models[name].test_accuracy)


@pytest.mark.browser
def test_the_report_is_sound_in_a_browser(prepared: Project) -> None:
    for seen in look_at(prepared.root / "report/index.html", [1280, 390]):
        assert_sound(seen)
        assert len(seen.pictures) > 20
        assert "528 parameters" in seen.text


def test_the_page_of_mistakes_has_the_clips_that_the_numbers_count(prepared: Project) -> None:
    found = metrics(prepared)
    page = (prepared.root / "report/mistakes.html").read_text(encoding="utf-8")
    [(shown, clips)] = re.findall(r"(\d+) of (\d+) test clips", page)
    assert page.count("<article>") == int(shown)
    [stem] = re.findall(r"<b>(\w+)</b>, which is best on validation", page)
    for name, entry in (("baseline", found["baseline"]), ("stem", found["stem"][stem])):
        wrong = re.findall(rf'<th scope="row">{name}</th><td class="worse">', page)
        assert len(wrong) == round((1 - entry["clip_accuracy"]) * int(clips))
    client = MlflowClient(f"sqlite:///{prepared.root}/mlflow.db")
    run = children(client, parents(client)[0])["report"]
    kept = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert kept >= {"index.html", "mistakes.html"}


def test_every_figure_and_table_shows_among_the_plots_of_dvc(prepared: Project) -> None:
    prepared.run("dvc", "plots", "show")
    page = (prepared.root / "dvc_plots/index.html").read_text()
    plots = prepared.root / "plots"
    shown = [
        path for name in ("figures", "history", "confusion") for path in (plots / name).iterdir()
    ]
    models = len(Comparison.model_validate(metrics(prepared)).models)
    assert len(shown) == 7 + 3 + models
    for path in shown:
        assert path.relative_to(prepared.root).as_posix() in page, path


def test_the_times_name_every_part(prepared: Project) -> None:
    times = json.loads((prepared.root / "metrics/timings.json").read_text())
    assert set(times["seconds_per_stage"]) == set(STAGES) - {"track"}
    assert len(times["seconds_per_trial"]) == 4
    # The price is that of exported files.
    assert "ms_per_frame" not in times
    assert len(times["seconds_per_epoch"]["as_published"]) == 1
    assert times["frames_per_second"]["extract_frames"] > 0
    assert times["frames_per_second"]["embed_frames"] > 0
    evaluated = json.loads((prepared.root / "records/evaluate.json").read_text())
    # It trains nothing.
    assert not any(child["epochs"] for child in evaluated["children"])
    assert times["estimated_wh"]["total"] > 0
    assert "codecarbon" in times["estimated_wh"]["method"]


def exports_of(project: Project) -> set[str]:
    compared = Comparison.model_validate(metrics(project))
    kinds = files.read_yaml(project.root / "params.yaml")["export"]["models"]
    made = exports.wanted(compared, kinds, 48)
    return {f"{name}_{precision}" for name in made for precision in made[name]}


def test_files_for_devices_are_as_right_as_what_they_are_made_of(prepared: Project) -> None:
    names = exports_of(prepared)
    assert {path.stem for path in (prepared.root / "exports").glob("*.tflite")} == names
    listed = json.loads((prepared.root / "metrics/export.json").read_text())["exports"]
    found = {f"{export['model']}_{export['precision']}": export for export in listed}
    assert set(found) == names
    # A metric that is not shared by models would have a column in `dvc exp show`.
    assert "agreement" not in prepared.run("dvc", "metrics", "show", "--md")
    evaluated = metrics(prepared)
    for name, export in found.items():
        entry = Comparison.model_validate(evaluated).models[export["model"]].values()
        assert export["side"] == entry["input_size"]
        assert export["keras_accuracy"] == pytest.approx(entry["test_accuracy"])
        assert export["agreement"] >= (0.95 if export["precision"] == "float32" else 0.5)
        assert export["bytes"] < (4.1e6 if export["precision"] == "int8" else 14e6)
        assert export["test_accuracy_low"] <= export["test_accuracy"]
        assert export["difference_low"] <= export["difference"] <= export["difference_high"], name


def test_files_for_devices_have_a_price_and_mlflow_shows_the_same(prepared: Project) -> None:
    prices = json.loads((prepared.root / "metrics/latency.json").read_text())
    assert set(prices) == {f"{name}.tflite" for name in exports_of(prepared)}
    client = MlflowClient(f"sqlite:///{prepared.root}/mlflow.db")
    shown = children(client, children(client, parents(client)[-1])["export"])
    for name, run in shown.items():
        price = prices[f"{name}.tflite"]
        assert price["threads"] == 1
        assert 0 < price["ms_median"] <= price["ms_p95"]
        for metric in ("ms_median", "ms_p95", "bytes", "peak_mib"):
            assert run.data.metrics[metric] == price[metric], (name, metric)


def test_files_for_devices_are_in_mlflow_once(prepared: Project) -> None:
    client = MlflowClient(f"sqlite:///{prepared.root}/mlflow.db")
    models = children(client, children(client, parents(client)[-1])["evaluate"])
    holder = models["baseline"].info.run_id
    files = ["baseline_float32.tflite"]
    assert {file.path for file in client.list_artifacts(holder)} == set(files)
    version = client.get_model_version_by_alias("stemtune", "baseline")
    assert version.tags["stemtune.exports"] == " ".join(f"runs:/{holder}/{file}" for file in files)
    assert client.list_artifacts(models["stem, as_published"].info.run_id)
    assert models["stem, as_published"].data.params["head"] == "frozen_small"
    assert not client.list_artifacts(models["resize_48"].info.run_id)


@pytest.mark.browser
def test_the_page_of_the_exports_is_sound_in_a_browser(prepared: Project) -> None:
    for seen in look_at(prepared.root / "records/exports.html", [1280, 390]):
        assert_sound(seen)
        assert "baseline_float32" in seen.text


def test_each_rate_of_a_stem_is_tried_and_the_most_accurate_kept(prepared: Project) -> None:
    record = records.read(prepared.root / "records/add_stem@as_published.json")
    tried = {child.params["learning_rate"]: child.metrics for child in record.children}
    assert set(tried) == {0.001, 0.01}
    assert tried[record.params["learning_rate"]] == record.metrics
    accuracies = [metrics["validation_accuracy"] for metrics in tried.values()]
    assert record.metrics["validation_accuracy"] == max(accuracies)
    history = pd.read_csv(prepared.root / "models/stem/as_published/history.csv")
    assert list(history["epoch"]) == [1]


def test_the_recommendation_stands_in_the_report_in_mlflow_and_in_dvc_s_metrics(
    prepared: Project,
) -> None:
    found = advice.read(prepared.root / "metrics/recommendation.json")
    assert found
    # There are fewer groups than a verdict needs.
    assert (found.verdict, found.candidate) == ("too few groups", None)
    assert found.reference.startswith(("baseline_float32 on 2", "retrained_96_float32 on 2"))
    page = (prepared.root / "report/index.html").read_text()
    assert html.escape(found.sentence) in page
    closing = prepared.run(sys.executable, "-m", "stemtune", "compare")
    # Its lines are wrapped.
    assert " ".join(closing.split()).count(found.sentence) == 1
    assert max(map(len, closing.splitlines()[:-2])) <= 100
    assert f"Report   {prepared.root.as_uri()}/report/index.html\n" in closing
    client = MlflowClient(f"sqlite:///{prepared.root}/mlflow.db")
    data = parents(client)[-1].data
    assert data.tags["recommendation.verdict"] == "too few groups"
    assert "recommendation" not in data.tags
    assert found.cost
    assert data.metrics["recommendation_price_share"] == found.cost.share
    assert "recommendation.json" in prepared.run("dvc", "metrics", "show", "--md")


def test_a_second_run_does_nothing_but_track_and_shows_all_in_mlflow(prepared: Project) -> None:
    printed = prepared.run("dvc", "repro")
    assert re.findall(r"^Running stage '(.+)'", printed, flags=re.MULTILINE) == ["track"]
    assert prepared.run(sys.executable, "-m", "stemtune", "compare") in printed
    client = MlflowClient(f"sqlite:///{prepared.root}/mlflow.db")
    second, first = parents(client)
    assert_whole(client, prepared.root, second, ran=set())
    assert first.info.status == "FINISHED"
    assert {run.data.tags["cached"] for run in children(client, first).values()} == {"false"}
    keys = [
        {name: run.data.tags["stage_key"] for name, run in children(client, parent).items()}
        for parent in (first, second)
    ]
    assert keys[0] == keys[1]
    assert_one_run_per_key(client)


@SMALL_ALONE
@pytest.mark.browser
def test_comparing_baseline_and_stem_in_mlflow_s_pages_shows_their_numbers(
    prepared: Project, tmp_path: Path
) -> None:
    client = MlflowClient(f"sqlite:///{prepared.root}/mlflow.db")
    newest = parents(client)[0]
    models = children(client, children(client, newest)["evaluate"])
    chosen = {"baseline": "baseline", "stem, as_published": "stem"}
    ids = [models[name].info.run_id for name in chosen]
    with servers.mlflow_ui(prepared.root) as server:
        shown = compared(server.address, newest.info.experiment_id, ids, tmp_path / "compare.png")
    assert set(shown) == set(chosen)
    found = metrics(prepared)
    entries = {"baseline": found["baseline"], "stem, as_published": found["stem"]["as_published"]}
    for name, entry in entries.items():
        for metric, value in entry.items():
            assert float(shown[name][metric]) == pytest.approx(value, abs=0.0005), metric
        paper = found["paper"][chosen[name]]["test_accuracy"]
        assert float(shown[name]["paper_test_accuracy"]) == pytest.approx(paper, abs=0.0005)
        assert {"train_seconds", "estimated_wh"} <= set(shown[name])


@SMALL_ALONE
def test_another_side_and_backbone_give_every_other_head_its_bits(
    prepared: Project, warm: dict[str, str]
) -> None:
    before = metrics(prepared)
    prepared.environment = warm
    other = "efficientnet_lite1"
    prepared.set_params(
        compare={"sides": [72], "backbones": [other]},
        export={"models": []},
        track=UNTRACKED,
    )
    assert prepared.repro() == STAGES[1:]
    after = metrics(prepared)
    keys = [f"{behind}{side}" for behind in ("", f"{other}_") for side in (48, 72, 96)]
    assert [*after["retrained"]] == keys
    assert after["retrained"][f"{other}_96"]["total_params"] > before["baseline"]["total_params"]
    for kind in ("baseline", "resize", "stem"):
        assert after[kind] == before[kind]
    assert after["retrained"]["96"] == before["retrained"]["96"]


@REAL_ALONE
def test_everything_is_bit_identical_after_deleting_outputs_and_cache(
    prepared: Project, environment: dict[str, str]
) -> None:
    # A warm process has one choice of kernels for all stages.
    prepared.environment = environment
    before = contents(prepared)
    # Where the first run had several processes for a stage.
    prepared.set_workers(1)
    for name in [*OUTPUTS, "records", "metrics", ".dvc/cache"]:
        path = prepared.root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert prepared.repro() == STAGES
    after = contents(prepared)
    assert sorted(after) == sorted(before)
    # What shows times is the same while these are: they are measured once, then cached.
    timed = {"report/index.html", "plots/figures/front.svg", "plots/candidates.csv"}
    assert {name for name in before if before[name] != after[name]} <= timed


@SMALL_ALONE
def test_a_new_clip_is_the_only_one_decoded_and_no_other_changes_its_split(
    prepared: Project, warm: dict[str, str]
) -> None:
    prepared.environment = warm
    manifest = prepared.root / "manifest.parquet"
    before = pd.read_parquet(manifest).set_index("clip")["split"]
    data = prepared.root / "data"
    # Real footage, where there is any.
    names = [path.relative_to(root) for root in SOURCES[::-1] for path in root.rglob("*.mp4")]
    source = next(data / name for name in names if (data / name).exists())
    # Bytes behind the last box of an mp4 are ignored: another file, the same footage.
    target = source.with_name("added.mp4")
    target.write_bytes(source.read_bytes() + b"\0\0\0\x0cfree\0\0\0\0")
    printed = prepared.run("dvc", "repro", "embed_frames")
    assert "; 1 decoded, " in printed
    after = pd.read_parquet(manifest).set_index("clip")["split"]
    (added,) = set(after.index) - set(before.index)
    # At each side, and mirrored too if it is trained on.
    used = ["embeddings", "embeddings_augmented" if after[added] == "train" else "nowhere"]
    sides = sum(len(list((prepared.root / home).glob("*/*/"))) for home in used)
    assert sides >= 2
    assert sum(each.embedded for each in embedded(printed)) == sides
    assert after[before.index].equals(before)


@pytest.mark.footage
@SMALL_ALONE
def test_a_classifier_of_small_frames_takes_those_of_a_sharper_camera(prepared: Project) -> None:
    # Of a variant that is taken out nothing is left.
    variants = {"small": {"head": "frozen_small"}, "full": {"head": "frozen_full"}}
    prepared.set_params(
        extract_frames={"size": 105},
        tune_lr={"seeds": [1]},
        compare={"sides": []},
        add_stem={"downscale": 3, "variants": variants, "learning_rates": [0.003, 0.001]},
        # Files of the other models were made before.
        export={"models": ["stem"]},
    )
    ran = {f"add_stem@{variant}" for variant in variants}
    left_out = {"add_stem@as_published", "add_stem@as_published_full"}
    assert set(prepared.repro()) == (set(STAGES) - left_out) | ran
    found = metrics(prepared)
    assert set(found["stem"]) == set(variants)
    assert {path.name for path in (prepared.root / "models/stem").iterdir()} == set(variants)
    assert not (prepared.root / "records/add_stem@as_published.json").exists()
    assert "add_stem@as_published" not in files.read_yaml(prepared.root / "dvc.lock")["stages"]
    assert set(found["resize"]) == {"35"}
    assert {stem["input_size"] for stem in found["stem"].values()} == {105}
    for name, behind in (("small", "retrained/35"), ("full", "baseline")):
        assert found["stem"][name]["trainable_params"] == 528
        assert only_stems_differ(prepared, name, behind)


def only_stems_differ(project: Project, variant: str, other: str) -> bool:
    """Returns whether what lies behind a stored stem is another stored model, bit for bit."""
    from stemtune.networks import classifier

    folder = project.root / "models"
    baseline, stemmed = (
        [*loaded.backbone.get_weights(), *loaded.head.get_weights()]
        for loaded in map(classifier.load, (folder / other, folder / "stem" / variant))
    )
    return all(np.array_equal(one, other) for one, other in zip(baseline, stemmed, strict=True))


def test_bad_settings_stop_the_run_before_any_work(prepared: Project) -> None:
    prepared.set_params(tune_lr={"tuner": "guess"})
    with pytest.raises(RuntimeError, match="tune_lr.tuner") as error:
        prepared.run("dvc", "repro")
    assert "'bayesian', 'random', 'hyperband' or 'grid' (found 'guess')" in str(error.value)
    assert "epoch" not in str(error.value)
