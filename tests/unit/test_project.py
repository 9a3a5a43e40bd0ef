"""What the project says of itself is true: dependencies, locks, paths."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from stemtune.core import files, litter
from stemtune.core.errors import InputError
from stemtune.tracking import launch
from tests.support.imports import reached
from tests.support.project import ROOT

PIPELINE = files.read_yaml(ROOT / "dvc.yaml")
LOCKS = ["requirements.lock", "requirements-gpu.lock", "requirements-setup.lock"]


@pytest.mark.parametrize("stage", PIPELINE["stages"])
def test_a_stage_depends_on_the_modules_that_it_imports_and_no_other(stage: str) -> None:
    definition = PIPELINE["stages"][stage]
    definition = definition.get("do", definition)
    code = [ROOT / path for path in definition["deps"] if path.startswith(("stages/", "stemtune/"))]
    declared = {
        path.relative_to(ROOT).as_posix()
        for each in code
        for path in ([each] if each.is_file() else each.rglob("*.py"))
        if path.suffix == ".py" and path.name != "__init__.py"
    }
    needed = reached(ROOT / "stages" / f"{stage}.py")
    # track always runs, so it may name packages of which it uses a part.
    assert declared >= needed if stage == "track" else declared == needed


@pytest.mark.parametrize(
    ("edited", "stages"),
    [
        ("stemtune/report/page.css", "report"),
        ("stemtune/report/report.html.j2", "report"),
        ("stemtune/report/figures.py", "report"),
        ("stemtune/evaluation/metrics.py", "evaluate export report"),
        ("stemtune/networks/stem.py", "add_stem evaluate report"),
        # What runs and follows stages, and what judges changes, reruns none but track.
        ("stemtune/run.py", "track"),
        ("stemtune/tracking/outbox.py", "track"),
        ("stemtune/core/settings/apart.py", "track"),
        # What trains reruns no stage that judges.
        ("stemtune/training/lr_search.py", "tune_lr"),
        ("stemtune/training/stems.py", "add_stem"),
    ],
)
def test_an_edit_reruns_what_it_touches_alone(edited: str, stages: str) -> None:
    assert (ROOT / edited).exists()
    folders = [edited, *(parent.as_posix() for parent in Path(edited).parents)]
    definitions = {name: stage.get("do", stage) for name, stage in PIPELINE["stages"].items()}
    rerun = [name for name, stage in definitions.items() if {*stage["deps"]} & {*folders}]
    assert rerun == stages.split()


def test_nothing_that_is_the_same_each_time_depends_on_measured_times() -> None:
    for stage, definition in PIPELINE["stages"].items():
        read = {*definition.get("do", definition)["deps"]}
        assert stage == "track" or not read & {"metrics/timings.json", "records"}
        # What is recommended depends on prices.
        assert stage in ("report", "track") or "metrics/latency.json" not in read
    # DVC keeps it, and it is measured once.
    assert "metrics/latency.json" in {
        path
        for out in PIPELINE["stages"]["export"]["outs"]
        for path in ([out] if isinstance(out, str) else out)
    }


@pytest.mark.parametrize("stage", PIPELINE["stages"])
def test_every_stage_is_described_and_has_a_short_command(stage: str) -> None:
    definition = PIPELINE["stages"][stage]
    definition = definition.get("do", definition)
    assert definition["desc"]
    # DVC prints it whenever the stage runs.
    assert definition["cmd"] == f"sh stages/run {stage}{'@${key}' if stage == 'add_stem' else ''}"


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("stages.extract_frames", ("tensorflow", "mlflow", "great_expectations", "keras", "ray")),
        ("stages.track", ("tensorflow", "mlflow", "great_expectations", "keras", "matplotlib")),
        ("stemtune.run", ("tensorflow", "mlflow", "great_expectations", "keras", "pandas")),
        ("stages.evaluate", ("tensorflow", "mlflow", "great_expectations")),
        ("stemtune.tracking.publisher", ("tensorflow", "great_expectations")),
        ("stemtune.tracking.registry", ("tensorflow", "great_expectations")),
        ("stemtune.serving.pyfunc_model", ("tensorflow", "great_expectations")),
        ("stemtune.media.sandbox_process", ("tensorflow", "mlflow", "pandas")),
        ("stemtune.commands.main", ("tensorflow", "mlflow", "pandas", "numpy", "pydantic")),
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


def test_dvc_and_the_project_leave_the_same_files_of_systems_alone() -> None:
    left = [".DS_Store", "._x.mp4", "Thumbs.db", "desktop.ini", "@eaDir", "__MACOSX", "Icon\r"]
    left += [".nfs01", "#recycle", "$RECYCLE.BIN", "lost+found", "__pycache__", ".directory"]
    left += [".AppleDouble", ".Trash-1000", "System Volume Information", "@Recycle", "#snapshot"]
    taken = ["Icons", "x.mp4", "DS_Store", "thumbs.mp4", "recycle", "eaDir"]
    places = [f"data/a/{name}" for name in (*left, *taken)]
    command = [str(Path(sys.executable).with_name("dvc")), "check-ignore", *places]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    assert done.stdout.decode().split("\n")[:-1] == places[: len(left)]
    assert [name for name in (*left, *taken) if litter.is_litter(name)] == left


def test_the_command_is_installed_beside_the_lock_without_a_network(tmp_path: Path) -> None:
    install = r"uv pip install --python \$\(BIN\)/python (.*--offline.*) \.$"
    (options,) = re.findall(install, (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    uv = str(Path(sys.executable).with_name("uv"))
    made = tmp_path / "made"
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, str(made)],
        [uv, "pip", "install", "--no-cache", "--python", str(made), *options.split(), str(ROOT)],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    command = [str(made / "bin/stemtune"), "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    commands = re.findall(r"^    (\w+)(?: |$)", done.stdout, flags=re.MULTILINE)
    assert commands == ["classify", "leaks", "compare", "recommend", "time", "demo"]


@pytest.mark.parametrize("module", ["runs", "registry"])
def test_usage_reports_are_off(module: str) -> None:
    assert "analytics = false" in (ROOT / ".dvc/config").read_text()
    program = (
        "import os, sys\n"
        "class Seen:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'mlflow': print(os.environ['MLFLOW_DISABLE_TELEMETRY'])\n"
        f"sys.meta_path.insert(0, Seen())\nimport stemtune.tracking.{module}"
    )
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
    points = files.read_yaml(ROOT / "MLproject")["entry_points"]
    assert list(points) == ["main", *PIPELINE["stages"], "ui"]
    for stage in PIPELINE["stages"]:
        assert points[stage]["command"].endswith(f" -m stemtune.tracking.launch {stage}")


def test_the_ui_shows_the_project_s_store_where_none_is_named() -> None:
    points = files.read_yaml(ROOT / "MLproject")["entry_points"]
    commands = (points["ui"]["command"].format(port=5000), (ROOT / "Makefile").read_text())
    for command in commands:
        address = '"${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}"'
        # Or uvicorn kills those that are slow to start.
        assert "mlflow ui --workers 1 " in command
        # An argument could be read by everyone on the machine, with the password in it.
        assert f"MLFLOW_BACKEND_STORE_URI={address}" in command.replace("$$", "$")
        assert "--backend-store-uri" not in command
        assert command.index(" -m stemtune.tracking.store") < command.index("mlflow ui")


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


def test_the_environment_of_mlproject_is_the_lock_and_a_python_of_the_project() -> None:
    environment = files.read_yaml(ROOT / "python_env.yaml")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert environment["dependencies"] == ["-r requirements.lock"]
    assert environment["python"] in SpecifierSet(project["requires-python"])


@pytest.mark.parametrize("stage", PIPELINE["stages"])
def test_a_fresh_clone_can_take_every_stage_from_the_run_cache(stage: str) -> None:
    definition = PIPELINE["stages"][stage]
    # One output that is not cached, and no metric, keeps a stage out of it.
    for out in definition.get("do", definition).get("outs", []):
        assert isinstance(out, str) or all(each.get("cache", True) for each in out.values())
