"""A variant that is taken out or renamed leaves nothing behind, here as in a fresh clone."""

import shlex
import subprocess
import sys
from pathlib import Path

from dvc.utils.serialize import dump_yaml

from tests.support.project import ROOT, Project

# Where evaluate and track take away what is left, in the shape of the chain.
PROGRAM = """
import sys
from pathlib import Path
from stemtune.core import files
from stemtune.core import leftovers
leftovers.remove(files.read_yaml(Path("params.yaml"))["add_stem"]["variants"], sys.argv[1])
"""
REMOVE = f"{shlex.quote(sys.executable)} remove.py"
PIPELINE = {
    "stages": {
        "add_stem": {
            "foreach": "${add_stem.variants}",
            "do": {
                "cmd": [
                    "mkdir -p models/stem/${key} records",
                    "echo ${item.rate} > models/stem/${key}/weights",
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
    rates = {name: {"rate": 0.5} for name in variants}
    dump_yaml(project.root / "params.yaml", {"add_stem": {"variants": rates}})


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
    assert "evaluate: took away what was left of mine: params.yaml, add_stem.variants, " in printed
    found = content(project)
    assert "mine" not in "".join([*found, *found.values()])
    assert found["plots.txt"] == "as_published\nyours\n"
    project.commit("Rename one")

    # Where nothing is left, DVC takes evaluate from its run cache; its entry in dvc.lock goes too.
    give(untouched, "as_published", "yours")
    printed = untouched.run("dvc", "repro")
    assert "Stage 'evaluate' is cached" in printed
    assert "track: took away what was left of mine" in printed
    clone = project.clone(tmp_path / "clone")
    assert clone.repro() == ["track"]
    assert content(clone) == content(untouched) == content(project)
    assert clone.run("git", "status", "--porcelain") == ""


def test_what_is_no_variant_s_is_left_alone(tmp_path: Path) -> None:
    for name in ("models/stem/@eaDir", "models/stem/.cache", "models/stem/as_published"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "models/stem/.DS_Store").touch()
    (tmp_path / "records").mkdir()
    (tmp_path / "records/evaluate.json").touch()
    program = "from stemtune.core import leftovers; leftovers.remove(['as_published'], 'evaluate')"
    before = sorted(tmp_path.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    assert sorted(tmp_path.rglob("*")) == before
