"""`dvc repro` with everything cached, against a bare DVC pipeline that has nothing to do either."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RUNS = 5
STAGES = 5
ROOT = Path(__file__).parent.parent
DVC = Path(sys.executable).with_name("dvc")
# In all, as much as a bare no-op three times over and one import of MLflow.
ALLOWED_NO_OPS = 3


def measure() -> list[dict[str, Any]]:
    """Returns the row `noop`, in seconds; "theirs" is three bare no-ops and MLflow's import."""
    _run(ROOT, DVC, "repro", "--quiet")
    ours, bare, imports = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder)
        _prepare_bare(other)
        for _ in range(RUNS):
            ours.append(_run(ROOT, DVC, "repro", "--quiet"))
            bare.append(_run(other, DVC, "repro", "--quiet"))
            imports.append(_run(ROOT, sys.executable, "-c", "import mlflow"))
    allowed = ALLOWED_NO_OPS * statistics.median(bare) + statistics.median(imports)
    middle = statistics.median(ours)
    return [
        {
            "name": "noop",
            "ours": middle,
            "theirs": allowed,
            "other": f"3 x no-op of {STAGES} `true` stages + import mlflow, seconds",
            "ratio": middle / allowed,
            "spread": (max(ours) - min(ours)) / middle,
            "target": 1.0,
            "met": middle <= allowed,
            "runs": RUNS,
        }
    ]


def _prepare_bare(folder: Path) -> None:
    _run(folder, "git", "init", "--quiet")
    _run(folder, DVC, "init", "--quiet")
    _run(folder, DVC, "config", "core.analytics", "false")
    stages = "".join(f"  stage_{number}:\n    cmd: 'true'\n" for number in range(STAGES))
    (folder / "dvc.yaml").write_text(f"stages:\n{stages}")
    _run(folder, DVC, "repro", "--quiet")


def _run(folder: Path, *command: str | Path) -> float:
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - started
