"""Fixtures: clips rendered for a test, and whole projects in a temporary DVC repository."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
import yaml

from stemtune import clips, groups, splits
from stemtune.params import Head, Split

ROOT = Path(__file__).parent.parent
CODE = ("stages", "stemtune", "ci", "dvc.yaml", "params.yaml", ".gitignore", ".gitattributes")

# A decoder of its own: the command line tool, of another version than the library in PyAV.
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()

# A stem that is quick to train, as a setting of add_stem.variants.
ONE_VARIANT = {
    "warm_start": {
        "start": "filter",
        "objective": "labels",
        "learning_rates": [0.001],
        "epochs": None,
    }
}

# Block track of params.yaml where no one looks at MLflow: a test is through sooner.
UNTRACKED = {"enabled": False}

WriteClip = Callable[..., Path]


@pytest.fixture
def write_clip(tmp_path: Path) -> WriteClip:
    """Returns a function that writes an H.264 clip whose frame k is of brightness `levels[k]`."""

    def write(
        name: str, levels: list[int], size: tuple[int, int] = (96, 64), rate: int = 10
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=rate)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            for level in levels:
                picture = np.full((size[1], size[0], 3), level, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
        return path

    return write


def head_of(units: int | None = None, dropout: float = 0.0) -> Head:
    """Returns the settings of a head on cached features, by default the paper's."""
    return Head(units=units, dropout=dropout, augmentation="none", cached_features=True)


class Project:
    """A copy of this project's code in a DVC and git repository of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment: dict[str, str] = {}
        for name in CODE:
            source, target = ROOT / name, root / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
        self.run("git", "init", "--quiet")
        self.run("dvc", "init", "--quiet")
        self.run("dvc", "config", "core.analytics", "false")

    def attempt(self, *command: str) -> tuple[int, str]:
        """Runs a command in the project and returns its exit status and what it printed."""
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("MLFLOW_", "DVC_", "AWS_", "GIT_", "GITHUB_", "STEMTUNE_"))
        }
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        done = subprocess.run(
            command,
            cwd=self.root,
            env=environment | self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def run(self, *command: str) -> str:
        """Runs a command in the project and returns what it printed; fails the test if it does."""
        status, printed = self.attempt(*command)
        if status:
            pytest.fail(f"{' '.join(command)} ended with {status}:\n{printed}")
        return printed

    def commit(self, message: str) -> None:
        """Commits everything that git does not ignore."""
        self.run("git", "add", "--all")
        author = ["-c", "user.name=Author", "-c", "user.email=author@example.org"]
        self.run("git", *author, "commit", "--quiet", "--message", message)

    def clone(self, root: Path, branch: str = "") -> "Project":
        """Returns a clone of what is committed, with this one's environment."""
        other = Project.__new__(Project)
        other.root, other.environment = root, self.environment
        self.run(
            "git", "clone", "--quiet", *(["--branch", branch] if branch else []), ".", str(root)
        )
        return other

    def remove(self) -> None:
        """Deletes the folder, or most of it: a reporter may still be writing there."""
        shutil.rmtree(self.root, ignore_errors=True)

    def repro(self, *targets: str) -> list[str]:
        """Runs `dvc repro`, of all stages or up to some, and returns those that ran."""
        lines = self.run("dvc", "repro", *targets).splitlines()
        return [line.split("'")[1] for line in lines if line.startswith("Running stage")]

    def set_params(self, **blocks: dict[str, object]) -> None:
        """Overrides settings of params.yaml, block by block."""
        path = self.root / "params.yaml"
        params = yaml.safe_load(path.read_text())
        for block, settings in blocks.items():
            params[block].update(settings)
        path.write_text(yaml.safe_dump(params))

    def fill(self, source: Path, per_split: int, classes: Sequence[str] = ()) -> None:
        """Takes clips from a folder so that every class, or those named, has as many in each split.

        Half of the groups are for training; their rows of groups.csv come along.
        """
        settings = {"by": "group", "lists": None, "validation": 0.25, "test": 0.25, "seed": 1}
        self.set_params(extract_frames={"split": settings})
        split = Split.model_validate(settings)
        rows = groups.read_table(source / "groups.csv")
        taken: Counter[tuple[str, str]] = Counter()
        listed = ["clip,group"]
        for clip in clips.find_clips(source):
            # What is in no row is left to itself, so that its group is known beforehand.
            group = rows.get(clip.name, f"clip {clip.sha256[:16]}")
            place = (clip.label, splits.split_of(group, split))
            if taken[place] < per_split and (not classes or clip.label in classes):
                taken[place] += 1
                target = self.root / "data" / clip.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(clip.path, target)
                listed.append(f"{clip.name},{group}")
        (self.root / "data/groups.csv").write_text("\n".join(listed) + "\n")

    def add_pictures(self, per_split: int, side: int) -> None:
        """Adds two classes of noise, still images of `side` px, so many of each in each split."""
        settings = yaml.safe_load((self.root / "params.yaml").read_text())
        split = Split.model_validate(settings["extract_frames"]["split"])
        random, rows = np.random.default_rng(1), ["clip,group"]
        for label, level in (("dark", 60), ("light", 190)):
            (self.root / "data" / label).mkdir(parents=True)
            dealt: Counter[str] = Counter()
            for number in range(100 * per_split):
                place = splits.split_of(f"{label} {number}", split)
                if dealt[place] < per_split:
                    dealt[place] += 1
                    noise = random.integers(-60, 61, (side, side, 3)) + level
                    picture = av.VideoFrame.from_ndarray(noise.astype(np.uint8), format="rgb24")
                    picture.to_image().save(self.root / "data" / label / f"{number}.png")
                    rows.append(f"{label}/{number}.png,{label} {number}")
        (self.root / "data" / "groups.csv").write_text("\n".join(rows) + "\n")
        self.run("dvc", "add", "--quiet", "data")


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns an MLflow store to copy: making its tables takes seconds."""
    from mlflow.tracking import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project without data, shared by the tests of a module, run in order."""
    root = tmp_path_factory.mktemp("project")
    made = Project(root)
    yield made
    made.remove()
