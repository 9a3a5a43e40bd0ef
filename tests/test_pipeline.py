"""The whole chain under DVC, small, on real clips: results, caching, MLflow and repeatability."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.tracking import MlflowClient

from tests import servers
from tests.browser import compared, look_at
from tests.conftest import ROOT, UNTRACKED, Project
from tests.mlflow_tree import assert_one_run_per_key, assert_whole, children, parents
from tests.test_browser import assert_sound

# Real footage lies beside a checkout where there is any; the sample clips come with the project.
SOURCES = [path for path in (ROOT / "data", ROOT.parent / "shared/data/clips") if path.is_dir()]
STAGES = [
    "extract_frames",
    "embed_frames",
    "tune_lr",
    "train_best",
    "add_stem@distilled",
    "add_stem@paper",
    "add_stem@warm_start",
    "evaluate",
    "track",
]
OUTPUTS = [
    "frames",
    "manifest.parquet",
    "embeddings",
    "embeddings_resized",
    "tuning",
    "models",
    "plots",
    "report",
]

pytestmark = pytest.mark.slow

# What settings do is the same whatever the footage.
on_sample_clips = pytest.mark.parametrize(
    "prepared", SOURCES[:1], ids=lambda path: path.name, indirect=True
)


@pytest.fixture(scope="module", params=SOURCES, ids=lambda path: path.name)
def prepared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """The project with a subset of clips, settings that make it quick, and one run behind it."""
    project = Project(tmp_path_factory.mktemp("project with spaces и кириллицей"))
    project.fill(request.param, per_split=3)
    project.set_params(
        extract_frames={"size": 96, "frames_per_clip": 3},
        tune_lr={"epochs": 2},
        train_best={"epochs": 2},
        add_stem={"epochs": 1},
        evaluate={"bootstrap_samples": 200},
    )
    project.run("dvc", "add", "--quiet", "data")
    assert project.repro() == STAGES
    yield project
    project.remove()


def metrics(project: Project) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((project.root / "metrics/evaluate.json").read_text())
    return content


def contents(project: Project) -> dict[str, bytes]:
    files = [
        path
        for name in [*OUTPUTS, "metrics/evaluate.json", "metrics/extract_frames.json"]
        for path in [project.root / name, *(project.root / name).rglob("*")]
        if path.is_file()
    ]
    return {path.relative_to(project.root).as_posix(): path.read_bytes() for path in files}


def test_the_comparison_has_every_model_and_number(prepared: Project) -> None:
    found = metrics(prepared)
    assert set(found) == {"baseline", "resize", "resize_retrained", "stem", "paper"}
    assert set(found["stem"]) == {"paper", "warm_start", "distilled"}
    assert found["paper"]["baseline"] == {"test_accuracy": 0.9207}
    assert found["paper"]["stem"] == {"test_accuracy": 0.8437}
    entries = {name: found[name] for name in ("baseline", "resize", "resize_retrained")}
    for entry in [*entries.values(), *found["stem"].values()]:
        assert set(entry) == {
            "test_accuracy",
            "test_accuracy_low",
            "test_accuracy_high",
            "clip_accuracy",
            "calibration_error",
            "trainable_params",
            "total_params",
            "flops_per_frame",
            "input_size",
        }
        assert 0 <= entry["test_accuracy_low"] <= entry["test_accuracy"]
        assert entry["test_accuracy"] <= entry["test_accuracy_high"] <= 1
    for stem in found["stem"].values():
        assert stem["trainable_params"] == 528
        assert stem["total_params"] == entries["baseline"]["total_params"] + 528
        assert stem["input_size"] == 96
    assert only_stems_differ(prepared)
    assert entries["resize"]["trainable_params"] == 0
    assert entries["resize"]["input_size"] == 44
    assert entries["resize"]["flops_per_frame"] < entries["baseline"]["flops_per_frame"] / 2


def test_stems_are_compared_and_plain_resizing_is_a_curve(prepared: Project) -> None:
    import pandas as pd

    found = metrics(prepared)
    plots = prepared.root / "plots"
    compared = pd.read_csv(plots / "comparisons.csv").set_index(["stem", "other"])
    assert len(compared) == 3 * 3
    for (name, other), row in compared.iterrows():
        gain = found["stem"][name]["test_accuracy"] - found[other]["test_accuracy"]
        assert row["difference"] == pytest.approx(gain)
        assert row["low"] <= row["difference"] <= row["high"]
    curve = pd.read_csv(plots / "resize.csv").set_index("side")
    # A quarter of 96 px is less than the backbone takes; 44 px is `resize`, 96 px the baseline.
    assert list(curve.index) == [36, 44, 60, 72, 96]
    assert curve["flops_per_frame"].is_monotonic_increasing
    assert curve["test_accuracy"][44] == found["resize"]["test_accuracy"]
    assert curve["test_accuracy"][96] == found["baseline"]["test_accuracy"]
    classes = pd.read_csv(plots / "classes.csv")
    for name, part in classes.groupby("model"):
        entry = found["stem"].get(name) or found[name]
        accuracy = (part["accuracy"] * part["frames"]).sum() / part["frames"].sum()
        assert accuracy == pytest.approx(entry["test_accuracy"])


@pytest.mark.browser
def test_the_report_is_sound_in_a_browser(prepared: Project) -> None:
    for seen in look_at(prepared.root / "report/index.html", [1100, 400]):
        assert_sound(seen)
        assert len(seen.pictures) > 20
        assert "528 parameters" in seen.text


def test_every_figure_and_table_shows_among_the_plots_of_dvc(prepared: Project) -> None:
    prepared.run("dvc", "plots", "show")
    page = (prepared.root / "dvc_plots/index.html").read_text()
    plots = prepared.root / "plots"
    shown = [
        path for name in ("figures", "history", "confusion") for path in (plots / name).iterdir()
    ]
    assert len(shown) == 15 + 4 + 6
    for path in shown:
        assert path.relative_to(prepared.root).as_posix() in page, path


def test_the_times_name_every_part(prepared: Project) -> None:
    times = json.loads((prepared.root / "metrics/timings.json").read_text())
    assert set(times["seconds_per_stage"]) == set(STAGES) - {"track"}
    assert len(times["seconds_per_trial"]) == 4
    assert set(times["ms_per_frame"]) == {
        "baseline",
        "resize",
        "resize_retrained",
        "paper",
        "warm_start",
        "distilled",
    }
    assert len(times["seconds_per_epoch"]["warm_start"]) == 1
    assert times["frames_per_second"]["extract_frames"] > 0
    assert times["frames_per_second"]["embed_frames"] > 0
    assert times["estimated_wh"]["total"] > 0
    assert "codecarbon" in times["estimated_wh"]["method"]


def test_of_several_rates_the_stem_that_validates_best_is_kept(prepared: Project) -> None:
    path = prepared.root / "records/add_stem@distilled.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    found = {
        part["params"]["learning_rate"]: (
            -part["metrics"]["validation_accuracy"],
            part["metrics"]["validation_loss"],
        )
        for part in record["parts"]
    }
    assert set(found) == {0.003, 0.0001}
    best = min(found, key=found.__getitem__)
    assert record["params"]["learning_rate"] == best
    history = (prepared.root / "models/stem/distilled/history.csv").read_text().splitlines()
    kept = dict(zip(history[0].split(","), history[-1].split(","), strict=True))
    assert (-float(kept["validation_accuracy"]), float(kept["validation_loss"])) == found[best]


def test_a_second_run_does_nothing_but_track_and_shows_all_in_mlflow(prepared: Project) -> None:
    assert prepared.repro() == ["track"]
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


@pytest.mark.browser
def test_comparing_baseline_and_stem_in_mlflow_s_pages_shows_their_numbers(
    prepared: Project, tmp_path: Path
) -> None:
    client = MlflowClient(f"sqlite:///{prepared.root}/mlflow.db")
    newest = parents(client)[0]
    models = children(client, children(client, newest)["evaluate"])
    chosen = {"baseline": "baseline", "stem, warm_start": "stem"}
    ids = [models[name].info.run_id for name in chosen]
    with servers.mlflow_ui(prepared.root) as server:
        shown = compared(server.address, newest.info.experiment_id, ids, tmp_path / "compare.png")
    assert set(shown) == set(chosen)
    found = metrics(prepared)
    entries = {"baseline": found["baseline"], "stem, warm_start": found["stem"]["warm_start"]}
    for name, entry in entries.items():
        for metric, value in entry.items():
            assert float(shown[name][metric]) == pytest.approx(value, abs=0.0005), metric
        paper = found["paper"][chosen[name]]["test_accuracy"]
        assert float(shown[name]["paper_test_accuracy"]) == pytest.approx(paper, abs=0.0005)
        assert {"train_seconds", "ms_per_frame", "estimated_wh"} <= set(shown[name])


@on_sample_clips
def test_other_sides_of_plain_resizing_train_nothing_again(prepared: Project) -> None:
    before = metrics(prepared)
    prepared.set_params(evaluate={"resize_sides": [60, 40]})
    assert prepared.repro() == ["embed_frames", "evaluate", "track"]
    lines = (prepared.root / "plots/resize.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["side", "40", "44", "60", "96"]
    assert metrics(prepared) == before


def test_everything_is_bit_identical_after_deleting_outputs_and_cache(
    prepared: Project, request: pytest.FixtureRequest
) -> None:
    before = contents(prepared)
    prepared.set_params(track=UNTRACKED)
    # What comes after the features does not know what footage they are of: once is enough.
    whole = request.node.callspec.params["prepared"] == SOURCES[0]
    outputs = [*OUTPUTS, "records", "metrics"] if whole else OUTPUTS[: OUTPUTS.index("tuning")]
    for name in [*outputs, ".dvc/cache"]:
        path = prepared.root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    stages = STAGES if whole else STAGES[: STAGES.index("tune_lr")]
    assert prepared.repro(stages[-1]) == stages
    after = contents(prepared)
    assert sorted(after) == sorted(before)
    assert [name for name in before if before[name] != after[name]] == []


def test_a_new_clip_is_the_only_one_decoded_and_no_other_changes_its_split(
    prepared: Project,
) -> None:
    import pandas as pd

    manifest = prepared.root / "manifest.parquet"
    before = pd.read_parquet(manifest).set_index("clip")["split"]
    source = next(path for path in (prepared.root / "data").rglob("*.mp4"))
    # Bytes behind the last box of an mp4 are ignored: another file, the same footage.
    target = source.with_name("added.mp4")
    target.write_bytes(source.read_bytes() + b"\0\0\0\x0cfree\0\0\0\0")
    printed = prepared.run("dvc", "repro", "embed_frames")
    assert "; 1 decoded, " in printed
    after = pd.read_parquet(manifest).set_index("clip")["split"]
    (added,) = set(after.index) - set(before.index)
    # At the two sides that are trained on, and a test clip at those of plain resizing too.
    further = len(list((prepared.root / "embeddings_resized/efficientnet_lite0").glob("*/")))
    sides = 2 + (further if after[added] == "test" else 0)
    assert printed.count(": 1 clips embedded, ") == sides
    assert after[before.index].equals(before)


@on_sample_clips
def test_a_classifier_of_small_frames_takes_those_of_a_sharper_camera(prepared: Project) -> None:
    prepared.set_params(
        extract_frames={"size": 105},
        train_best={"trained_at": "small"},
        add_stem={"input_size": "3x"},
    )
    assert set(prepared.repro()) == set(STAGES)
    found = metrics(prepared)
    for control in ("resize", "resize_retrained"):
        assert found[control]["test_accuracy"] == found["baseline"]["test_accuracy"]
    assert {found[name]["input_size"] for name in ("baseline", "resize")} == {33}
    for stem in found["stem"].values():
        assert (stem["input_size"], stem["trainable_params"]) == (105, 528)
    assert only_stems_differ(prepared)


def only_stems_differ(project: Project) -> bool:
    """Returns whether what lies behind each stored stem is the stored baseline, bit for bit."""
    from stemtune import models

    folder = project.root / "models"
    parts = [
        [models.load(path).get_layer(name).get_weights() for name in ("backbone", "head")]
        for path in (folder / "baseline", *(folder / "stem").iterdir())
    ]
    return all(
        np.array_equal(one, other)
        for part in parts[1:]
        for kept, found in zip(parts[0], part, strict=True)
        for one, other in zip(kept, found, strict=True)
    )


@on_sample_clips
def test_bad_settings_stop_the_run_before_any_work(prepared: Project) -> None:
    prepared.set_params(tune_lr={"tuner": "guess"})
    with pytest.raises(pytest.fail.Exception, match="tune_lr.tuner") as error:
        prepared.run("dvc", "repro")
    assert "'bayesian', 'random', 'hyperband' or 'grid' (found 'guess')" in str(error.value)
    assert "epoch" not in str(error.value)
