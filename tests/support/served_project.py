"""A project that has run once, and the servers that it reports to."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from bench.project import QUICK_STEM
from tests.support import servers
from tests.support.mlflow_tree import parents
from tests.support.project import HALF_TO_TRAIN, Project

ARTIFACTS = f"s3://{servers.BUCKET}/runs"


@dataclass
class Setting:
    """A project that has run once, and the servers that it reports to."""

    project: Project
    database: servers.PostgreSQL
    bucket: servers.Server
    server: servers.Server
    where: dict[str, str]
    client: MlflowClient
    warm: dict[str, str]

    def env(self, **more: str) -> dict[str, str]:
        return {**self.warm, "MLFLOW_TRACKING_URI": self.server.address, **more}

    def start(self, *command: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=self.project.root,
            env=os.environ | self.env(**env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command: str, **env: str) -> tuple[int, str]:
        process = self.start(*command, **env)
        printed, _ = process.communicate()
        return process.returncode, printed

    def repro(self, **env: str) -> str:
        """Runs `dvc repro`, which has to succeed, and returns what it printed."""
        code, printed = self.run("dvc", "repro", **env)
        assert code == 0, printed
        return printed

    def newest(self) -> Run:
        return parents(self.client)[0]

    def pending(self) -> list[Path]:
        return list((self.project.root / ".tracking").glob("*/pipeline.json"))


@contextmanager
def serving(folder: Path, warm: dict[str, str]) -> Iterator[Setting]:
    """Yields a project in a folder with its servers, which end with the block.

    Args:
        folder: To be filled.
        warm: Variables with which stages start at once.
    """
    database = servers.PostgreSQL(folder / "postgresql")
    project = Project(folder / "project")
    project.set_params(
        extract_frames={"frames_per_clip": 1, "size": 96, "split": HALF_TO_TRAIN},
        tune_lr={"epochs": 2, "seeds": [1, 2], "learning_rates": [0.01, 0.001]},
        train_best={"epochs": 2},
        add_stem=QUICK_STEM,
        compare={"bootstrap_samples": 100},
    )
    project.add_pictures(3, 96)
    (project.root / ".gitignore").open("a").write("/.venv\n")
    project.commit("a")
    with servers.s3(folder) as bucket:
        where = {"MLFLOW_S3_ENDPOINT_URL": bucket.address, **servers.S3_KEYS}
        where["AWS_DEFAULT_REGION"] = "us-east-1"
        with servers.mlflow_server(folder, database.uri, ARTIFACTS, False, **where) as server:
            client = MlflowClient(server.address)
            yield Setting(project, database, bucket, server, where, client, warm)
    database.stop()
