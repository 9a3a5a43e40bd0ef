"""A copy of this project with data of its own, to run `dvc repro` in."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import yaml

from bench.material import ROOT

CODE = ("stages", "stemtune", "dvc.yaml", "params.yaml", ".gitignore", ".gitattributes")
DVC = Path(sys.executable).with_name("dvc")
# A picture's side, px: small, so that what is measured is not its decoding.
SIDE = 72
LABELS = ("dark", "light")


class Project:
    """The project's code and pictures of noise in a DVC and git repository in `root`."""

    def __init__(self, root: Path, pictures: int) -> None:
        self.root = root
        root.mkdir(parents=True)
        for name in CODE:
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, root / name, ignore=ignored)
            else:
                shutil.copy(ROOT / name, root / name)
        self.run("git", "init", "--quiet")
        self.run(DVC, "init", "--quiet")
        self.run(DVC, "config", "core.analytics", "false")
        self.set_params(
            extract_frames={
                "frames_per_clip": 1,
                "size": SIDE,
                # By noise no two are alike: looking for those that are would find none.
                "near_duplicates": None,
            },
            add_stem={"epochs": 1, "variants": {"paper": _variant()}},
            tune_lr={"seeds": [1], "epochs": 1},
            train_best={"epochs": 1},
        )
        self._pictures = 0
        self.add_pictures(pictures)

    def add_pictures(self, count: int) -> None:
        """Adds so many to data/, in turns to either class."""
        for number in range(self._pictures, self._pictures + count):
            label = LABELS[number % 2]
            level = 60 if label == "dark" else 190
            random = np.random.default_rng(number)
            noise = random.integers(-60, 61, (SIDE, SIDE, 3)) + level
            path = self.root / "data" / label / f"{number:05}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(noise.astype(np.uint8)).save(path)
        self._pictures += count
        self.run(DVC, "add", "--quiet", "data")

    def repro(self, *arguments: str) -> None:
        """Runs `dvc repro`."""
        self.run(DVC, "repro", "--quiet", *arguments)

    def set_params(self, **blocks: dict[str, Any]) -> None:
        """Overrides settings of params.yaml, block by block."""
        path = self.root / "params.yaml"
        params = yaml.safe_load(path.read_text(encoding="utf-8"))
        for block, settings in blocks.items():
            params[block].update(settings)
        path.write_text(yaml.safe_dump(params), encoding="utf-8")

    def run(self, *command: str | Path) -> None:
        """Runs a command in the project; raises RuntimeError with what it said when it fails."""
        run(self.root, *command)


def _variant() -> dict[str, Any]:
    return {"start": "filter", "objective": "labels", "learning_rates": [0.001], "epochs": None}


def run(folder: Path, *command: str | Path) -> None:
    """Runs a command in a folder, with the project's Python first on the path.

    Raises:
        RuntimeError: It failed; with what it said.
    """
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = f"{done.stdout}{done.stderr}"
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{said}")


def environment() -> dict[str, str]:
    """Returns the environment for the project's commands: its Python first, no run going on."""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "DVC_"))
    }
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"}
