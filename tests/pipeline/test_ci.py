"""CI's script in temporary clones with a remote on S3: what it reruns, says, refuses, shares."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.project import LEVELS, QUICK_STEM, write_noise
from stemtune.core import files
from stemtune.core.settings.frames import Split
from stemtune.evaluation.comparison import Comparison
from stemtune.ingest import splits
from tests.support.bucket import Bucket, serving
from tests.support.project import RECORDED, ROOT, STAGES, UNTRACKED, Project, embedded

pytestmark = pytest.mark.slow

SIDE = 96


@dataclass(frozen=True)
class Ran:
    """What CI's script came to."""

    status: int
    printed: str
    summary: str

    def stages(self, what: str) -> list[str]:
        """Returns the stages that the summary's table says this of."""
        return re.findall(rf"^\| (\S+) +\| {what}", self.summary, flags=re.MULTILINE)


def ci(project: Project, *options: str) -> Ran:
    """Runs CI's script as a job does, and returns what the job's page shows."""
    page = project.root / "job page.md"
    page.unlink(missing_ok=True)
    project.environment = project.environment | {"GITHUB_STEP_SUMMARY": str(page)}
    status, printed = project.attempt("python", "-m", "ci", *options)
    summary = page.read_text(encoding="utf-8") if page.exists() else ""
    summary = summary.replace("\N{NO-BREAK SPACE}", " ")
    page.unlink(missing_ok=True)
    return Ran(status, printed, summary)


def evaluated(project: Project) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((project.root / "metrics/evaluate.json").read_text())
    return content


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with serving("team", str(tmp_path_factory.mktemp("home"))) as bucket:
        yield bucket


@pytest.fixture(scope="module")
def author(
    bucket: Bucket, warm: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """A project with samples in the repository, as this one has them, and a team's bucket."""
    project = Project(tmp_path_factory.mktemp("author"))
    project.environment = warm
    project.set_params(
        extract_frames={"size": SIDE, "frames_per_clip": 1, "max_quarantined": 0.5},
        # As with a backbone that is trained already, features do not depend on the seed.
        embed_frames={"weights": {}},
        tune_lr={"epochs": 20, "batch_size": 8, "learning_rates": [0.01], "seeds": [1]},
        train_best={"epochs": 20, "batch_size": 8},
        add_stem=QUICK_STEM,
        compare={"bootstrap_samples": 200},
        track=UNTRACKED,
        ci={
            "max_accuracy_drop": {
                "baseline": 0.25,
                "resize": None,
                "retrained": None,
                "stem": None,
            },
            "max_stem_gap": None,
        },
    )
    project.add_pictures(per_split=4, side=SIDE)
    project.run("dvc", "remote", "add", "samples", "../samples")
    project.run("dvc", "push", "--quiet", "--remote", "samples", "data.dvc")
    project.run("dvc", "remote", "add", "--default", "team", f"s3://{bucket.name}/dvc")
    project.run("git", "checkout", "--quiet", "-b", "main")
    project.commit("Compare on two classes")
    yield project
    project.remove()


def test_a_fork_without_credentials_runs_on_the_sample_remote(
    author: Project, bucket: Bucket
) -> None:
    author.environment = author.environment | bucket.stranger
    ran = ci(author, "--base", "")
    assert ran.status == 0, ran.printed
    assert f"**No credentials for `s3://{bucket.name}/dvc`**" in ran.summary
    assert ran.stages("▶ ran") == STAGES
    assert "Compared with nothing" in ran.summary
    assert bucket.objects() == []


def test_a_machine_with_credentials_shares_what_was_done(author: Project, bucket: Bucket) -> None:
    author.environment = author.environment | bucket.environment
    ran = ci(author, "--base", "", "--push")
    assert ran.status == 0, ran.printed
    assert ran.stages("▶ ran") == ["track"]
    assert ran.stages("✓ up to date") == RECORDED
    assert any("/runs/" in key for key in bucket.objects())
    assert len(bucket.objects()) > 50
    # The lock that git lacks is offered, and not committed.
    assert "The committed dvc.lock is not what `dvc repro` writes" in ran.summary
    assert "?? dvc.lock" in author.run("git", "status", "--porcelain")
    patch = (author.root / "ci-results/dvc.lock.patch").read_text()
    assert "+++ b/dvc.lock" in patch
    assert "+++ b/metrics/evaluate.json" in patch
    (author.root / "dvc.lock").rename(author.root / "ci-results/dvc.lock")
    author.run("git", "clean", "-fdq", "metrics")
    author.run("git", "apply", "ci-results/dvc.lock.patch")
    assert (author.root / "dvc.lock").read_text() == (
        author.root / "ci-results/dvc.lock"
    ).read_text()
    author.commit("Keep the results")


def test_a_fresh_clone_of_main_takes_everything_from_the_bucket(
    author: Project, bucket: Bucket, tmp_path: Path
) -> None:
    clone = author.clone(tmp_path / "clone")
    ran = ci(clone, "--base", "HEAD", "--fresh", "--remote", f"s3://{bucket.name}/dvc")
    assert ran.status == 0, ran.printed
    assert ran.stages("▶ ran") == ["track"]
    assert "dvc.lock is what `dvc repro` writes" in ran.summary
    assert evaluated(clone) == evaluated(author)
    assert not (clone.root / "ci-results/dvc.lock.patch").exists()


def test_clips_that_were_not_pushed_are_asked_for(
    author: Project, bucket: Bucket, tmp_path: Path
) -> None:
    author.environment = author.environment | bucket.environment
    clone = author.clone(tmp_path / "clone")
    path = clone.root / "data.dvc"
    path.write_text(re.sub(r"md5: \w{32}", f"md5: {32 * '0'}", path.read_text()))
    ran = ci(clone)
    assert ran.status == 1
    assert "## stemtune: ✗ failed" in ran.summary
    assert "the clips that data.dvc names are not in remote team" in ran.summary
    assert "Traceback" not in ran.printed


def change_clips(project: Project) -> tuple[list[str], str]:
    """Adds a clip to each split and removes one; returns their names."""
    data, random = project.root / "data", np.random.default_rng(2)
    settings = files.read_yaml(project.root / "params.yaml")["extract_frames"]["split"]
    split, label = Split.model_validate(settings), next(iter(LEVELS))
    here = dict(line.split(",") for line in (data / "groups.csv").read_text().splitlines())
    groups: dict[str, str] = {}
    for number in range(1000, 1100):
        groups.setdefault(splits.split_of(f"{label} {number}", split), f"{label} {number}")
    added = {f"{group.replace(' ', '/')}.png": group for group in groups.values()}
    assert len(added) == 3
    for name in added:
        write_noise(data / name, LEVELS[label], SIDE, random)
    table = pd.read_parquet(project.root / "manifest.parquet")
    removed = str(table.loc[table["split"] == "train", "clip"].iloc[0])
    (data / removed).unlink()
    del here[removed]
    rows = (here | added).items()
    (data / "groups.csv").write_text("".join(f"{name},{group}\n" for name, group in rows))
    return list(added), removed


def test_a_change_of_data_reruns_what_it_touched_and_shows_the_effect(
    author: Project, bucket: Bucket, tmp_path: Path
) -> None:
    author.run("git", "checkout", "--quiet", "-b", "more-clips", "main")
    added, removed = change_clips(author)
    author.run("dvc", "add", "--quiet", "data")
    author.run("dvc", "push", "--quiet", "data.dvc")
    author.commit("Add three clips and remove one")

    clone = author.clone(tmp_path / "clone", "more-clips")
    before, shared = evaluated(clone), bucket.objects()
    ran = ci(clone, "--base", "origin/main", "--fresh")
    after = evaluated(clone)
    # Main's runs take what is there as their own.
    assert bucket.objects() == shared
    assert "none are shared: runs of the main branch alone" in ran.summary

    assert ran.stages("▶ ran") == STAGES
    assert "; 3 decoded, " in ran.printed
    sides = list((clone.root / "embeddings").glob("*/*/"))
    plain = [each.embedded for each in embedded(ran.printed) if not each.is_augmented]
    assert plain == [3] * len(sides)
    assert re.search(r"^\| extract_frames .*`data` changed", ran.summary, flags=re.MULTILINE)
    assert re.search(r"^\| embed_frames .*`frames` changed", ran.summary, flags=re.MULTILINE)
    names = ", ".join(f"`{name}`" for name in sorted(added))
    assert f"- added: 3 ({names})" in ran.summary
    assert f"- removed: 1 (`{removed}`)" in ran.summary
    assert f"- frames not in the base: 3 ({names})" in ran.summary
    assert "- newly quarantined: 0" in ran.summary
    assert re.search(r"^\| clips +\| 24 +\| 26 +\|$", ran.summary, flags=re.MULTILINE)
    then_all, now_all = map(Comparison.model_validate, (before, after))
    for name in (name for name in now_all.models if name not in now_all.stem):
        (row,) = re.findall(rf"^\| {name} +\|.*%.*$", ran.summary, flags=re.MULTILINE)
        cells = [cell.strip() for cell in row.split("|")][1:-1]
        then, now = then_all.models[name].values(), now_all.models[name].values()
        for cell, entry in zip(cells[1:3], (then, now), strict=True):
            bounds = [100 * entry[f"test_accuracy_{side}"] for side in ("low", "high")]
            assert cell == f"{entry['test_accuracy']:.2%} ({bounds[0]:.1f} to {bounds[1]:.1f})"
        difference = 100 * (now["test_accuracy"] - then["test_accuracy"])
        assert float(cells[3]) == pytest.approx(difference, abs=0.006)

    # Held to be main, it has to bring its lock along; nothing is committed for it.
    assert ran.status == 1
    assert "- dvc.lock is stale: `extract_frames`" in ran.summary
    assert "- `extract_frames`: `data` changed" in ran.summary
    assert "`git apply ci-results/dvc.lock.patch`" in ran.summary
    assert clone.run("git", "log", "--format=%s", "-1").strip() == "Add three clips and remove one"

    again = ci(clone, "--base", "origin/main", "--push")
    assert again.status == 0, again.printed
    assert again.stages("▶ ran") == ["track"]
    assert evaluated(clone) == after

    # With the patch, another machine has nothing to do.
    patch = clone.root / "ci-results/dvc.lock.patch"
    author.run("git", "checkout", "--quiet", "--force", "more-clips")
    author.run("git", "apply", str(patch))
    author.commit("Take CI's results")
    other = author.clone(tmp_path / "other", "more-clips")
    ran = ci(other, "--base", "origin/main", "--fresh")
    assert ran.status == 0, ran.printed
    assert ran.stages("▶ ran") == ["track"]
    assert f"- added: 3 ({names})" in ran.summary


def test_mislabelled_clips_fail_the_gate(author: Project, tmp_path: Path) -> None:
    author.run("git", "checkout", "--quiet", "--force", "-b", "mislabelled", "main")
    author.run("dvc", "checkout", "--quiet")
    data = author.root / "data"
    table = pd.read_parquet(author.root / "manifest.parquet")
    tested = list(table.loc[table["split"] == "test", "clip"])
    groups = (data / "groups.csv").read_text()
    other = dict(zip(LEVELS, reversed(LEVELS), strict=True))
    for name in tested:
        label, file = name.split("/")
        (data / name).rename(data / other[label] / f"of {label} {file}")
        groups = groups.replace(f"{name},", f"{other[label]}/of {label} {file},")
    (data / "groups.csv").unlink()
    (data / "groups.csv").write_text(groups)
    author.run("dvc", "add", "--quiet", "data")
    author.run("dvc", "push", "--quiet", "data.dvc")
    author.commit("Label the test clips the other way round")

    clone = author.clone(tmp_path / "clone", "mislabelled")
    before = evaluated(clone)["baseline"]["test_accuracy"]
    ran = ci(clone, "--base", "origin/main")
    drop = before - evaluated(clone)["baseline"]["test_accuracy"]
    assert ran.status == 1
    assert drop > 0.25
    assert (
        f"- drop of test accuracy, baseline: {100 * drop:.2f} points, allowed 25 points"
        in ran.summary
    )
    assert "; 0 decoded, " in ran.printed
    assert f"- relabelled: {len(tested)} (" in ran.summary
    assert "drop of test accuracy, baseline" in ran.printed.splitlines()[-1]


def table() -> dict[str, list[str]]:
    """Returns the stages that rerun, by the change, as docs/pipeline.md has them."""
    page = (ROOT / "docs/pipeline.md").read_text(encoding="utf-8")
    lines = page.split("| change |")[1].splitlines()
    stages = [name.strip() for name in lines[0].split("|")][:-1]
    rows = {}
    for line in lines[2:]:
        if not line.startswith("|"):
            break
        change, *cells = (cell.strip() for cell in line.split("|")[1:-1])
        rows[change] = [stage for stage, cell in zip(stages, cells, strict=True) if cell]
    return rows


def edit_words(project: Project) -> None:
    (project.root / "docs").mkdir()
    for page in ("README.md", "docs/pipeline.md"):
        (project.root / page).write_text("Another word\n")


def change_a_gate(project: Project) -> None:
    project.set_params(ci={"max_quarantined": 7})


def remark_in(project: Project, *paths: str) -> None:
    for path in paths:
        with (project.root / "stemtune" / path).open("a") as file:
            file.write("/* A remark. */\n" if path.endswith("css") else "# A remark.\n")


def edit_a_page(project: Project) -> None:
    remark_in(project, "report/page.css", "report/figures.py")


def edit_a_metric(project: Project) -> None:
    remark_in(project, "evaluation/metrics.py")


def edit_the_stem(project: Project) -> None:
    remark_in(project, "networks/stem.py")


def change_a_rate(project: Project) -> None:
    project.set_params(tune_lr={"learning_rates": [0.02]})


def change_the_seed(project: Project) -> None:
    project.set_params(runtime={"seed": 5})


CHANGES = {
    "edit README or a page of `docs/`": edit_words,
    "change a gate in block `ci`": change_a_gate,
    "edit the report (`page.css`, `figures.py`)": edit_a_page,
    "edit a metric (`metrics.py`)": edit_a_metric,
    "edit the stem (`stem.py`), and models stay the same": edit_the_stem,
    "change `tune_lr.learning_rates`, and another wins": change_a_rate,
    "change `runtime.seed`": change_the_seed,
}
# Looked at above, with the clips that they redo.
STORIES = {"add or remove clips", "edit a label"}


def test_each_row_of_the_table_is_looked_at() -> None:
    assert table().keys() == CHANGES.keys() | STORIES
    for change in STORIES:
        assert table()[change] == [name.split("@")[0] for name in STAGES]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_reruns_what_the_table_says(author: Project, change: str) -> None:
    if change == next(iter(CHANGES)):
        author.run("git", "checkout", "--quiet", "--force", "main")
        author.run("dvc", "checkout", "--quiet")
    CHANGES[change](author)
    printed = author.run("dvc", "repro")
    ran = [line.split("'")[1] for line in printed.splitlines() if line.startswith("Running stage")]
    assert [name.split("@")[0] for name in ran] == table()[change]
    assert "; 0 decoded" in printed or "extract_frames" not in ran
    assert not re.search(r": [1-9]\d* clips embedded", printed)


def test_a_stage_that_fails_is_shown_with_its_last_words(author: Project) -> None:
    author.run("git", "checkout", "--quiet", "--force", "main")
    author.run("dvc", "checkout", "--quiet", "--force")
    author.set_params(extract_frames={"min_clips": 9})
    ran = ci(author)
    assert ran.status == 1
    assert ran.stages("✗ \\*\\*failed\\*\\*") == ["extract_frames"]
    assert ran.stages("· not reached") == STAGES[1:]
    assert "- stage `extract_frames` failed" in ran.summary
    assert Counter(ran.summary)["`"] % 2 == 0
