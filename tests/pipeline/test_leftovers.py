"""A variant that is taken out or renamed leaves nothing behind, here as in a fresh clone."""

import shlex
import sys
from pathlib import Path

import pytest
from dvc.utils.serialize import dump_yaml

from stemtune.core import files, leftovers
from tests.support.project import ROOT, UNTRACKED, Project

# What each stage does before it begins, and track, in the shape of the chain.
PROGRAM = """
import sys
from pathlib import Path
from stemtune import run
from stemtune.core import errors, leftovers, params
if sys.argv[1] == "track":
    leftovers.remove(params.load().add_stem.variants, "track", in_lock=True)
else:
    errors.run(sys.argv[1], lambda: run.run(sys.argv[1], lambda record: None))
    # It is no output here, as it holds times.
    Path("records", f"{sys.argv[1]}.json").unlink()
"""
REMOVE = f"{shlex.quote(sys.executable)} remove.py"
PIPELINE = {
    "stages": {
        "add_stem": {
            "foreach": "${add_stem.variants}",
            "do": {
                "cmd": [
                    "mkdir -p models/stem/${key} records",
                    "echo ${item.head} > models/stem/${key}/weights",
                    "echo {} > records/add_stem@${key}.json",
                ],
                "params": ["add_stem.variants.${key}"],
                "outs": ["models/stem/${key}", "records/add_stem@${key}.json"],
            },
        },
        "evaluate": {
            "cmd": [f"{REMOVE} evaluate", "ls models/stem > plots.txt"],
            "deps": ["models/stem"],
            "params": ["add_stem.variants"],
            "outs": ["plots.txt"],
        },
        "track": {
            "cmd": [f"{REMOVE} track"],
            "deps": ["plots.txt", "records"],
            "always_changed": True,
        },
    }
}


def small_project(root: Path, cache: Path) -> Project:
    project = Project.__new__(Project)
    project.root, project.environment = root, {"PYTHONPATH": str(ROOT)}
    root.mkdir()
    project.run("git", "init", "--quiet")
    project.run("dvc", "init", "--quiet")
    (root / ".dvc/config").write_text(f"[core]\nanalytics = false\n[cache]\ndir = {cache}\n")
    (root / "remove.py").write_text(PROGRAM)
    dump_yaml(root / "dvc.yaml", PIPELINE)
    (root / ".gitignore").write_text("/models\n/records\n/plots.txt\n")
    return project


def give(project: Project, *variants: str) -> None:
    """Writes params.yaml with these variants."""
    settings = files.read_yaml(ROOT / "params.yaml")
    settings["add_stem"]["variants"] = {key: {"head": "frozen_full"} for key in variants}
    settings["track"] |= UNTRACKED
    dump_yaml(project.root / "params.yaml", settings)


def content(project: Project) -> dict[str, str]:
    """Returns dvc.lock and all outputs."""
    found = [project.root / "dvc.lock", project.root / "plots.txt"]
    found += [path for name in ("models", "records") for path in (project.root / name).rglob("*")]
    return {
        path.relative_to(project.root).as_posix(): path.read_text()
        for path in found
        if path.is_file()
    }


def test_a_variant_that_is_renamed_leaves_nothing_here_nor_in_a_clone(tmp_path: Path) -> None:
    project = small_project(tmp_path / "own", tmp_path / "cache")
    give(project, "as_published", "mine")
    project.repro()
    project.commit("Two variants")
    untouched = project.clone(tmp_path / "untouched")

    give(project, "as_published", "yours")
    printed = project.run("dvc", "repro")
    assert "Running stage 'evaluate'" in printed
    assert "evaluate: removed the outputs of mine: params.yaml, add_stem.variants, " in printed
    found = content(project)
    assert "mine" not in "".join([*found, *found.values()])
    assert found["plots.txt"] == "as_published\nyours\n"
    project.commit("Rename one")

    # Where nothing is left, DVC takes evaluate from its run cache; its entry in dvc.lock goes too.
    give(untouched, "as_published", "yours")
    printed = untouched.run("dvc", "repro")
    assert "Stage 'evaluate' is cached" in printed
    assert "track: removed the outputs of mine" in printed
    clone = project.clone(tmp_path / "clone")
    assert clone.repro() == ["track"]
    assert content(clone) == content(untouched) == content(project)
    assert clone.run("git", "status", "--porcelain") == ""


def test_an_entry_of_dvc_lock_goes_however_the_file_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dvc.lock").write_text(
        """{"schema": "2.0", "stages": {
    "add_stem@mine": {"cmd": "train"}, "add_stem@as_published": {"cmd": "train"}}}"""
    )
    killed = Path(".search/add_stem@mine")
    killed.mkdir(parents=True)
    leftovers.remove(["as_published"], "track", in_lock=True)
    assert not killed.exists()
    assert [*files.read_yaml(Path("dvc.lock"))["stages"]] == ["add_stem@as_published"]


def test_what_is_no_variant_s_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("models/stem/@eaDir", "models/stem/.cache", "models/stem/as_published", "records"):
        Path(name).mkdir(parents=True)
    Path("models/stem/.DS_Store").touch()
    Path("records/evaluate.json").touch()
    before = sorted(tmp_path.rglob("*"))
    leftovers.remove(["as_published"], "evaluate", in_lock=True)
    assert capsys.readouterr().out == ""
    assert sorted(tmp_path.rglob("*")) == before
