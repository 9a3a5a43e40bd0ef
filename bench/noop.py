"""`dvc repro` with everything cached, against a bare DVC pipeline that has nothing to do either."""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench import measuring
from bench.project import NoiseProject, prepare, run
from stemtune.core import files

# In all, as much as a bare no-op three times over and one import of MLflow.
ALLOWED_NO_OPS = 3
# Struck: it takes what DVC and the import and the store of MLflow take.
TARGET = None


@dataclass(frozen=True)
class Size:
    """Pictures in the project, and runs."""

    pictures: int
    runs: int


FULL = Size(pictures=40, runs=3)
TINY = Size(pictures=40, runs=1)


def measure(size: Size) -> list[measuring.Row]:
    """Returns the row `noop`, in seconds; "theirs" is three bare no-ops and MLflow's import."""
    with tempfile.TemporaryDirectory() as temporary:
        ours, bare = NoiseProject(Path(temporary) / "ours", size.pictures), Path(temporary) / "bare"
        ours.repro()
        before = (ours.root / "dvc.lock").read_bytes()
        stages = len(files.read_yaml(ours.root / "dvc.lock")["stages"])
        _prepare_bare(bare, stages)
        measured, plain, imports = measuring.in_turns(
            size.runs,
            lambda: measuring.seconds(ours.repro),
            lambda: measuring.seconds(lambda: run(bare, "dvc", "repro")),
            lambda: measuring.seconds(lambda: run(bare, sys.executable, "-c", "import mlflow")),
        )
        if (ours.root / "dvc.lock").read_bytes() != before:
            raise AssertionError("noop: `dvc repro` with nothing new changed dvc.lock")
    allowed = [ALLOWED_NO_OPS * one + other for one, other in zip(plain, imports, strict=True)]
    return [
        measuring.of_times(
            "noop",
            measured,
            allowed,
            f"s, {ALLOWED_NO_OPS} no-ops of {stages} `true` stages and one import of MLflow",
            TARGET,
        )
    ]


def _prepare_bare(folder: Path, stages: int) -> None:
    folder.mkdir()
    prepare(folder)
    listed = "".join(f"  stage_{number}:\n    cmd: 'true'\n" for number in range(stages))
    (folder / "dvc.yaml").write_text(f"stages:\n{listed}", encoding="utf-8")
    run(folder, "dvc", "repro")
