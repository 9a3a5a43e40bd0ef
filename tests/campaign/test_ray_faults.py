"""Whatever dies in a Ray cluster: the same entries as without one, and nothing left behind."""

import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from stemtune.store import manifest
from tests.support import clips, ray_cluster
from tests.support.project import Project
from tests.support.ray_cluster import Nodes

CLIPS, KILLER = 64, "killer"
# What is begun, a line each, and that there is no room.
BEGUN, FULL = Path("begun.log"), Path("full")
# By module of the project, what is added at its end: it notes what is begun, and takes its time in
# the cluster, so that it can be killed in the middle.
WATCH = f"""
import os, pathlib, resource, sys, time

def _begin(name):
    with open("{BEGUN}", "a") as log:
        log.write(f"{{name}}\\n")
    if "ray" in sys.modules:
        time.sleep(0.1)
"""
ADDED = {
    "stemtune/ingest/extraction.py": f"""{WATCH}
_extract = extract

def extract(sandbox, store, clip, params):
    _begin(clip.path.stem)
    if pathlib.Path("{FULL}").exists():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    return _extract(sandbox, store, clip, params)
""",
    "stemtune/media/decoding.py": f"""
import os
_sample_frames = sample_frames

def sample_frames(path, *arguments):
    if path.stem == "{KILLER}":
        os.kill(os.getpid(), 9)
    return _sample_frames(path, *arguments)
""",
    "stemtune/store/frame_store.py": f"""{WATCH}
_read = read

def read(folder, key, side):
    _begin(key)
    return _read(folder, key, side)
""",
}
MADE = {
    "extract_frames": ("frames", "manifest.parquet"),
    "embed_frames": ("embeddings", "embeddings_augmented"),
}
SECONDS = 600

pytestmark = pytest.mark.campaign


EXTRACT, EMBED = "extract_frames", "embed_frames"
# What Ray calls what runs chunks.
TASK = "_run"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, warm: dict[str, str]) -> Iterator[Project]:
    """Scenes and a clip that kills whoever decodes it, and what the local engine makes of them."""
    made = Project(tmp_path_factory.mktemp("faults"))
    made.environment = warm
    made.set_params(
        extract_frames={"size": 72, "frames_per_clip": 2, "near_duplicates": None},
        track={"enabled": False},
    )
    for module, lines in ADDED.items():
        with (made.root / module).open("a") as file:
            file.write(lines)
    for number in range(CLIPS):
        frames = [frame // 2 + np.uint8(number % 2 * 120) for frame in clips.scene(number)]
        clips.write_frames(made.root / f"data/{'ab'[number % 2]}/{number}.mp4", frames)
    clips.write(made.root / f"data/b/{KILLER}.mp4", [10, 90, 200])
    for stage in MADE:
        made.run("python", "-m", "stemtune.run", stage)
    yield made
    made.remove()


@pytest.fixture(scope="module")
def expected(project: Project) -> dict[str, dict[str, bytes]]:
    return {stage: outputs(project, stage) for stage in MADE}


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Nodes]:
    with ray_cluster.running(2) as nodes:
        yield nodes


@pytest.fixture
def nodes(two_nodes: Nodes, project: Project) -> Nodes:
    two_nodes.fill_up()
    (project.root / BEGUN).unlink(missing_ok=True)
    return two_nodes


def outputs(project: Project, stage: str) -> dict[str, bytes]:
    """Returns the content of what a stage made, by path."""
    return {
        path.relative_to(project.root).as_posix(): path.read_bytes()
        for name in MADE[stage]
        for path in [project.root / name, *(project.root / name).rglob("*")]
        if path.is_file()
    }


def begin(
    project: Project, nodes: Nodes, stage_name: str, again: bool = True
) -> subprocess.Popen[str]:
    """Starts a stage on the cluster, by default without what it made before."""
    for name in MADE[stage_name] if again else ():
        path = project.root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return subprocess.Popen(
        ["python", "-m", "stemtune.run", stage_name],
        cwd=project.root,
        env=project.all_environment() | nodes.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def begun(project: Project) -> Counter[str]:
    log = project.root / BEGUN
    return Counter(log.read_text().split() if log.exists() else [])


def assert_few_begun_again(project: Project, most: int, what: str) -> None:
    """Asserts that at most so many clips were begun twice, and none more often."""
    times = begun(project)
    # The killer is tried once more by itself, each time.
    again = {name: count for name, count in times.items() if count > 1 and name != KILLER}
    print(f"\n{what}: {len(times)} clips, begun again: {again}")
    assert max(again.values(), default=2) == 2
    assert len(again) <= most


def wait_until_begun(project: Project, stage: subprocess.Popen[str], count: int) -> None:
    while begun(project).total() < count:
        assert stage.poll() is None, stage.communicate()
        time.sleep(0.05)


def end(stage: subprocess.Popen[str]) -> str:
    """Returns what a stage printed, that succeeds."""
    printed, _ = stage.communicate(timeout=SECONDS)
    assert stage.returncode == 0, printed
    return printed


def processes(project: Project) -> list[psutil.Process]:
    """Returns what is at work in the project, but for idle processes of Ray and what they keep."""

    def is_idle(process: psutil.Process) -> bool:
        several = [process, *process.parents()]
        return any(one.cmdline()[:1] == ["ray::IDLE"] for one in several)

    found = []
    for process in psutil.process_iter(["cwd"]):
        try:
            if process.info["cwd"] == str(project.root) and not is_idle(process):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def assert_left_alone(project: Project) -> None:
    """Asserts that nothing is at work in the project any more, within a while."""
    deadline = time.monotonic() + 60
    while left := processes(project):
        assert time.monotonic() < deadline, left
        time.sleep(0.5)


def kill_worker(nodes: Nodes) -> None:
    nodes.workers(TASK)[0].kill()


def kill_node(nodes: Nodes) -> None:
    nodes.kill_node_of(TASK)


@pytest.mark.parametrize("kill", [kill_worker, kill_node])
@pytest.mark.parametrize("stage_name", [EXTRACT, EMBED])
def test_what_dies_costs_the_clip_that_it_was_at(
    project: Project,
    expected: dict[str, dict[str, bytes]],
    nodes: Nodes,
    stage_name: str,
    kill: Callable[[Nodes], None],
) -> None:
    stage = begin(project, nodes, stage_name)
    wait_until_begun(project, stage, 20)
    kill(nodes)
    end(stage)
    assert outputs(project, stage_name) == expected[stage_name]
    if stage_name == EXTRACT:
        assert_few_begun_again(project, 2, kill.__name__)
        table = manifest.read(project.root / "manifest.parquet")
        assert [*table["clip"][table["quarantined"] != ""]] == [f"b/{KILLER}.mp4"]
    assert_left_alone(project)


def test_a_driver_that_is_killed_goes_on_where_it_stopped(
    project: Project, expected: dict[str, dict[str, bytes]], nodes: Nodes
) -> None:
    stage = begin(project, nodes, EXTRACT)
    wait_until_begun(project, stage, 20)
    stage.send_signal(signal.SIGKILL)
    stage.wait()
    assert_left_alone(project)
    end(begin(project, nodes, EXTRACT, again=False))
    assert outputs(project, EXTRACT) == expected[EXTRACT]
    assert_few_begun_again(project, 4, "driver killed")
    assert_left_alone(project)


def test_a_full_folder_is_said_once_and_nothing_is_half_written(
    project: Project, expected: dict[str, dict[str, bytes]], nodes: Nodes
) -> None:
    stage = begin(project, nodes, EXTRACT)
    wait_until_begun(project, stage, 20)
    (project.root / FULL).touch()
    printed, _ = stage.communicate(timeout=SECONDS)
    (project.root / FULL).unlink()
    assert stage.returncode == 1
    assert printed.count("there is no room for frames/") == 1
    assert "Traceback" not in printed
    whole = expected[EXTRACT]
    assert_left_alone(project)
    kept = {
        path.relative_to(project.root).as_posix(): path.read_bytes()
        for path in (project.root / "frames").rglob("*.npz")
    }
    assert kept.items() < whole.items()
    end(begin(project, nodes, EXTRACT, again=False))
    assert outputs(project, EXTRACT) == whole
