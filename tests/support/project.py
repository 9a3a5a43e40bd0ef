"""A copy of this project for a test, and what it is given."""

import re
import shutil
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench import project
from bench.project import LEVELS, write_noise
from stemtune.core import files
from stemtune.core.settings.frames import Split
from stemtune.engine.engine import FILE
from stemtune.ingest import clips, groups, splits
from tests.support import publishers, small_backbone

ROOT = project.ROOT
# A split that deals half of the groups to training, as a setting of extract_frames.split.
HALF_TO_TRAIN: dict[str, object] = {
    "by": "group",
    "lists": None,
    "folders": None,
    "validation": 0.25,
    "test": 0.25,
    "seed": 1,
}

# The stages of a project with `QUICK_STEM`, in order; track leaves no record.
RECORDED = [
    "extract_frames",
    "embed_frames",
    "tune_lr",
    "train_best",
    "train_resized",
    "add_stem@as_published",
    "evaluate",
    "export",
    "report",
]
STAGES = [*RECORDED, "track"]

# Block embed_frames of params.yaml with the project's default backbone.
LITE: dict[str, object] = {"backbones": ["efficientnet_lite0"], "weights": {}}

# With these git takes each repository for one that another user owns.
OTHERS_PROJECT = {
    "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
}

# Block track of params.yaml where no one looks at MLflow: a test is through sooner.
UNTRACKED = {"enabled": False}


class Embedded(NamedTuple):
    """What embed_frames says of a backbone at a side.

    Attributes:
        side: Of the frames, px.
        is_augmented: Whether it is about augmented copies of frames.
        embedded, reused: Clips.
    """

    backbone: str
    side: int
    is_augmented: bool
    embedded: int
    reused: int


def embedded(printed: str) -> list[Embedded]:
    """Returns what embed_frames printed, a line of which names several sides."""
    pattern = r"(\w+) at ([\d, ]+) px(, \d+ more views)?: (\d+) clips embedded, (\d+) reused"
    return [
        Embedded(backbone, int(side), bool(views), int(count), int(reused))
        for backbone, sides, views, count, reused in re.findall(pattern, printed)
        for side in sides.split(", ")
    ]


class Project(project.Project):
    """A copy of this project, with data that a test gives it, quick to train.

    Its backbone is the small one, unless a test sets another, and new heads get a few epochs.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.set_workers(1)
        small_backbone.register(root)
        retrained = {"learning_rates": [0.01], "epochs": 2, "augmentation": "flip"}
        self.set_params(
            embed_frames=small_backbone.SETTINGS,
            add_stem={"retrained_head": retrained},
            compare={"sides": []},
            # Making files for devices takes longer than all else.
            export={"models": []},
        )

    def set_workers(self, count: int) -> None:
        """Sets how many processes a stage may start: more take longer than what it does here."""
        (self.root / FILE).write_text(f"workers: {count}\n")

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
        if (self.root / FILE).exists():
            other.set_workers(1)
        return other

    def remove(self) -> None:
        """Deletes the folder, once nothing is written there any more."""
        publishers.end(self.root)
        shutil.rmtree(self.root)

    def fill(self, source: Path, per_split: int) -> None:
        """Takes clips from a folder so that every class has as many in each split.

        Half of the groups are for training; their rows of groups.csv come along. Clips of other
        classes that are there already stay.
        """
        self.set_params(extract_frames={"split": HALF_TO_TRAIN})
        split = Split.model_validate(HALF_TO_TRAIN)
        rows = groups.read_table(source / "groups.csv")
        taken: Counter[tuple[str, str]] = Counter()
        table = self.root / "data/groups.csv"
        listed = table.read_text().splitlines() if table.exists() else ["clip,group"]
        for clip in clips.find_clips(source):
            # What is in no row is left to itself, so that its group is known beforehand.
            group = rows.get(clip.name, f"clip {files.sha256(clip.path)[:16]}")
            place = (clip.label, splits.split_of(group, split))
            if taken[place] < per_split:
                taken[place] += 1
                target = self.root / "data" / clip.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(clip.path, target)
                listed.append(f"{clip.name},{group}")
        table.write_text("\n".join(listed) + "\n")

    def add_pictures(self, per_split: int, side: int) -> None:
        """Adds two classes of noise, still images of `side` px, so many of each in each split."""
        settings = files.read_yaml(self.root / "params.yaml")
        split = Split.model_validate(settings["extract_frames"]["split"])
        random, rows = np.random.default_rng(1), ["clip,group"]
        for label, level in LEVELS.items():
            dealt: Counter[str] = Counter()
            for number in range(100 * per_split):
                place = splits.split_of(f"{label} {number}", split)
                if dealt[place] < per_split:
                    dealt[place] += 1
                    write_noise(self.root / f"data/{label}/{number}.png", level, side, random)
                    rows.append(f"{label}/{number}.png,{label} {number}")
        (self.root / "data" / "groups.csv").write_text("\n".join(rows) + "\n")
        self.run("dvc", "add", "--quiet", "data")
