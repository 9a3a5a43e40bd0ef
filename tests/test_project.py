"""What the project says of itself is true: dependencies, locks, paths."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from stemtune import launch
from stemtune.errors import InputError
from tests.conftest import ROOT

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())
LOCKS = ["requirements.lock", "requirements-gpu.lock", "requirements-setup.lock"]


def imported(module: Path) -> set[Path]:
    """Returns the project's modules that a module imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            package = ROOT / node.module.replace(".", "/")
            candidates = [package, *(package / alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            candidates = [ROOT / alias.name.replace(".", "/") for alias in node.names]
        else:
            continue
        found |= {
            path.with_suffix(".py") for path in candidates if path.with_suffix(".py").exists()
        }
    return found


def reached(module: Path) -> set[str]:
    waiting, seen = [module], set()
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            waiting += imported(current)
    return {path.relative_to(ROOT).as_posix() for path in seen}


@pytest.mark.parametrize("stage", PIPELINE["stages"])
def test_a_stage_depends_on_every_module_that_it_imports_and_no_other(stage: str) -> None:
    definition = PIPELINE["stages"][stage]
    definition = definition.get("do", definition)
    declared = {path for path in definition["deps"] if path.endswith(".py")}
    assert declared == reached(ROOT / "stages" / f"{stage}.py")


@pytest.mark.parametrize("stage", PIPELINE["stages"])
def test_every_stage_is_described(stage: str) -> None:
    definition = PIPELINE["stages"][stage]
    assert definition.get("do", definition)["desc"]


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("stages.extract_frames", ("tensorflow", "mlflow", "great_expectations", "keras")),
        ("stages.track", ("tensorflow", "mlflow", "great_expectations", "keras", "matplotlib")),
        ("stages.evaluate", ("tensorflow", "mlflow", "great_expectations")),
        ("stemtune.tracking", ("tensorflow", "great_expectations")),
        ("stemtune.registry", ("tensorflow", "great_expectations")),
        ("stemtune.served", ("tensorflow", "great_expectations")),
    ],
)
def test_importing_a_module_loads_nothing_heavy(module: str, heavy: tuple[str, ...]) -> None:
    program = f"import sys, {module}; print(sorted(set(sys.modules) & set({heavy!r})))"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_pin_hashes_and_name_no_index(lock: str) -> None:
    text = (ROOT / lock).read_text()
    pinned = re.findall(r"^[a-z0-9][^\s=]*==.*$", text, flags=re.MULTILINE)
    assert pinned
    assert all(line.endswith("\\") for line in pinned)
    assert text.count("--hash=sha256:") >= len(pinned)
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", text)


def test_the_lock_has_every_dependency_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lock = (ROOT / "requirements.lock").read_text()
    wanted = project["dependencies"] + project["optional-dependencies"]["cpu"]
    for requirement in wanted + project["optional-dependencies"]["dev"]:
        name = re.match(r"[A-Za-z0-9_-]+", requirement)
        assert name
        assert re.search(rf"^{name[0].lower()}==", lock, flags=re.MULTILINE), requirement


def test_usage_reports_are_off() -> None:
    assert "analytics = false" in (ROOT / ".dvc/config").read_text()
    program = "import os, stemtune.tracking; print(os.environ['MLFLOW_DISABLE_TELEMETRY'])"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "true"


def test_workflows_are_sound() -> None:
    workflow, gitlab = ".github/workflows/pipeline.yml", ".gitlab-ci.yml"
    for command in (
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", workflow],
        ["check-jsonschema", "--builtin-schema", "vendor.gitlab-ci", gitlab],
        ["zizmor", "--offline", "--no-progress", workflow],
    ):
        tool = Path(sys.executable).parent / command[0]
        done = subprocess.run([tool, *command[1:]], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    actions = re.findall(r"uses: (\S+)", (ROOT / workflow).read_text())
    assert actions
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action) for action in actions)


def test_an_entry_point_of_mlproject_for_the_chain_each_stage_and_the_ui() -> None:
    points = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]
    assert list(points) == ["main", *PIPELINE["stages"], "ui"]
    for stage in PIPELINE["stages"]:
        assert points[stage]["command"].endswith(f" -m stemtune.launch {stage}")


def test_settings_of_an_entry_point_reach_params_yaml_through_dvc() -> None:
    assert launch.command_of([]) == ["repro"]
    assert launch.command_of(["evaluate"]) == ["repro", "evaluate"]
    given = ["tune_lr", "--tune_lr.epochs", "3", "--runtime.seed", "2"]
    assert launch.command_of(given) == [
        *["exp", "run", "-S", "tune_lr.epochs=3", "-S", "runtime.seed=2", "tune_lr"]
    ]
    for odd in (["--tune_lr.epochs"], ["evaluate", "tune_lr", "3"]):
        with pytest.raises(InputError, match="expected pairs such as"):
            launch.command_of(odd)


def test_the_environment_of_mlproject_is_the_lock_and_the_python_of_the_project() -> None:
    environment = yaml.safe_load((ROOT / "python_env.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert environment["dependencies"] == ["-r requirements.lock"]
    assert project["requires-python"] == f"=={environment['python']}.*"
    assert f"--python {environment['python']} " in (ROOT / "Makefile").read_text()
