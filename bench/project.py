"""A copy of this project in a repository of its own, to run `dvc repro` in; tests use it too."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import PIL.Image
from dvc.utils.serialize import modify_yaml

ROOT = Path(__file__).parent.parent
CODE = (
    "stages",
    "stemtune",
    "ci",
    "profiles",
    "dvc.yaml",
    "params.yaml",
    ".gitignore",
    ".gitattributes",
    ".dvcignore",
)
# What variables are called that belong to another run, repository or account.
FOREIGN = ("MLFLOW_", "DVC_", "AWS_", "GIT_", "GITHUB_", "STEMTUNE_", "MAKE", "MFLAGS")
# A folder whose `python` comes before this process's own.
PYTHON_VARIABLE = "BENCH_PYTHON"
# Brightness of noise by its class.
LEVELS = {"dark": 60, "light": 190}
# A stem that is quick to train, as settings of add_stem.
QUICK_STEM: dict[str, object] = {
    "variants": {"as_published": {"head": "frozen_full"}},
    "learning_rates": [0.001],
    "epochs": 1,
}
# A head that trains quickly, as add_stem.retrained_head.
QUICK_HEAD: dict[str, object] = {"learning_rates": [0.01], "epochs": 1, "augmentation": "none"}
# A picture's side, px: small, so its decoding is not what is measured.
SIDE = 72


class Project:
    """The project's code in a DVC and git repository in a folder.

    Attributes:
        root: The folder.
        environment: Variables that commands get on top of those that are `inherited`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment: dict[str, str] = {}
        root.mkdir(parents=True, exist_ok=True)
        for name in CODE:
            if (ROOT / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, root / name, ignore=ignored)
            else:
                shutil.copy(ROOT / name, root / name)
        prepare(root)

    def all_environment(self) -> dict[str, str]:
        """Returns the environment that commands run in."""
        return inherited() | self.environment

    def attempt(self, *command: str) -> tuple[int, str]:
        """Runs a command in the project and returns its exit status and what it printed."""
        return attempt(self.root, command, self.all_environment())

    def run(self, *command: str) -> str:
        """Runs a command in the project and returns what it printed.

        Raises:
            RuntimeError: It failed; with what it printed.
        """
        return run(self.root, *command, variables=self.all_environment())

    def repro(self, *targets: str) -> list[str]:
        """Runs `dvc repro`, of all stages or up to some, and returns those that ran."""
        lines = self.run("dvc", "repro", *targets).splitlines()
        return [line.split("'")[1] for line in lines if line.startswith("Running stage")]

    def set_params(self, **blocks: Mapping[str, object]) -> None:
        """Overrides settings of params.yaml, block by block, as `dvc exp run -S` writes them."""
        with modify_yaml(self.root / "params.yaml") as params:
            for block, settings in blocks.items():
                params[block].update(settings)


class NoiseProject(Project):
    """A project that trains quickly, on pictures of noise in two classes."""

    def __init__(self, root: Path, pictures: int) -> None:
        super().__init__(root)
        self.set_params(
            extract_frames={
                "frames_per_clip": 1,
                "size": SIDE,
                # By noise no two are alike: looking for those that are would find none.
                "near_duplicates": None,
            },
            add_stem=QUICK_STEM | {"retrained_head": QUICK_HEAD},
            tune_lr={"seeds": [1], "epochs": 1},
            train_best={"epochs": 1},
            compare={"sides": []},
            export={"models": []},
        )
        self._pictures = 0
        self.add_pictures(pictures)

    def add_pictures(self, count: int) -> None:
        """Adds N pictures to data/, in turns to either class."""
        for number in range(self._pictures, self._pictures + count):
            label = list(LEVELS)[number % 2]
            path = self.root / "data" / label / f"{number:05}.png"
            write_noise(path, LEVELS[label], SIDE, np.random.default_rng(number))
        self._pictures += count
        self.run("dvc", "add", "--quiet", "data")


def write_noise(path: Path, level: int, side: int, random: np.random.Generator) -> None:
    """Writes a picture of noise about a brightness (60 to 190), squares of `side` px."""
    noise = random.integers(-60, 61, (side, side, 3)) + level
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(noise.astype(np.uint8)).save(path)


def prepare(folder: Path) -> None:
    """Makes a folder a git and DVC repository that reports no usage."""
    run(folder, "git", "init", "--quiet")
    run(folder, "dvc", "init", "--quiet")
    # As `dvc config` writes it, which takes a second to start.
    (folder / ".dvc/config").write_text("[core]\n    analytics = false\n", encoding="utf-8")


def inherited() -> dict[str, str]:
    """Returns this process's environment without what is `FOREIGN`, and its Python first."""
    kept = {
        key: value
        for key, value in os.environ.items()
        # Each stage would compile the project's code again.
        if not key.startswith(FOREIGN) and key != "PYTHONDONTWRITEBYTECODE"
    }
    first = [os.environ.get(PYTHON_VARIABLE), str(Path(sys.executable).parent), kept["PATH"]]
    return kept | {"PATH": os.pathsep.join(filter(None, first))}


def attempt(folder: Path, command: Sequence[str], variables: Mapping[str, str]) -> tuple[int, str]:
    """Runs a command in a folder and returns its exit status and what it printed."""
    done = subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def run(folder: Path, *command: str, variables: Mapping[str, str] | None = None) -> str:
    """Runs a command in a folder and returns what it printed.

    Args:
        folder: Where.
        command: Its name and its arguments.
        variables: Its environment; None: what is `inherited`.

    Raises:
        RuntimeError: It failed; with what it printed.
    """
    status, printed = attempt(folder, command, inherited() if variables is None else variables)
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with {status}:\n{printed}")
    return printed
