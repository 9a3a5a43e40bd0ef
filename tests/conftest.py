"""Fixtures, and the order of the test files."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from stemtune.core import shell
from tests.support import clips, warm_stages
from tests.support.clips import WriteClip
from tests.support.project import Project

# Test modules import TensorFlow by themselves.
shell.forget()

# Each of these takes a minute or more, the longest first. Whoever begins one last keeps the other
# worker waiting.
FIRST = (
    "test_pipeline",
    "test_networks",
    "test_bench",
    "test_notebook",
    "test_tracking_servers",
    "test_ci",
    "test_ray_faults",
    "test_kills",
    "test_interrupted_publisher",
    "test_search",
    "test_places",
    "test_matrix",
    "test_stem",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first, and those without a slow test last."""

    def place(item: pytest.Item) -> tuple[int, bool]:
        name = item.path.stem
        return FIRST.index(name) if name in FIRST else len(FIRST), name not in slow

    slow = {item.path.stem for item in items if item.get_closest_marker("slow")}
    items.sort(key=place)


@pytest.fixture
def write_clip(tmp_path: Path) -> WriteClip:
    """Returns a function that writes an H.264 clip whose frame k is of brightness `levels[k]`."""
    return lambda name, levels, **how: clips.write(tmp_path / name, levels, **how)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns an MLflow store to copy: making its tables takes seconds."""
    from mlflow.tracking import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="session")
def warm() -> Iterator[dict[str, str]]:
    """Variables of a project with which its stages start at once."""
    with warm_stages.serving() as environment:
        yield environment


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project without data, shared by the tests of a module, run in order."""
    root = tmp_path_factory.mktemp("project")
    made = Project(root)
    yield made
    made.remove()
