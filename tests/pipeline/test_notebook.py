"""docs/colab.ipynb from its first cell to its last: clone, environment, run, comparison, report."""

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from bench import project
from tests.support.project import ROOT

NOTEBOOK = ROOT / "docs/colab.ipynb"
GIVEN = {'REPOSITORY = ""': f"REPOSITORY = {str(ROOT)!r}", 'PROFILE = ""': 'PROFILE = "smoke"'}


def notebook() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_the_notebook_is_kept_without_outputs() -> None:
    for cell in notebook().cells:
        assert not cell.get("outputs"), cell.source
        assert cell.get("execution_count") is None


@pytest.mark.slow
@pytest.mark.footage
def test_the_notebook_runs_from_the_clone_to_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = notebook()
    first, *_, compared, report = [cell for cell in opened.cells if cell.cell_type == "code"]
    for line, given in GIVEN.items():
        assert first.source.splitlines().count(line) == 1
        first.source = first.source.replace(line, given)
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    uv_cache = project.run(ROOT, "uv", "cache", "dir").strip()
    # Nobody's settings of git are there, as in Colab.
    home = {"HOME": str(tmp_path), "UV_CACHE_DIR": uv_cache, "XDG_CACHE_HOME": ""}
    where = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(opened, timeout=3600, resources=where).execute(env=project.inherited() | home)

    clone = tmp_path / "stemtune"
    found = json.loads((clone / "metrics/evaluate.json").read_text())
    [table] = [output.data["text/markdown"] for output in compared.outputs]
    named = {"baseline": found["baseline"], "stem, as_published": found["stem"]["as_published"]}
    for name, entry in named.items():
        assert f"| {name} | {entry['test_accuracy']:.2%} |" in table
    [shown] = [output.data["text/html"] for output in report.outputs]
    assert "<iframe srcdoc=" in shown
    assert "528 parameters" in shown
