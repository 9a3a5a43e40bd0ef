"""What a stage keeps on disk for MLflow, while it runs and when it ends.

A folder per pipeline run, `.tracking/<key>/`. Of an experiment that runs in a copy of the project,
it is in the project all the same, as DVC deletes the copy. Whoever tells MLflow reads it there.
"""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import psutil
from pydantic import BaseModel, ConfigDict

from stemtune.core import files, pipeline_run, processes
from stemtune.core.paths import TRACKING
from stemtune.core.pipeline_run import Pipeline
from stemtune.core.records import Record


class Begun(BaseModel):
    """A stage that began.

    Attributes:
        stage: As in dvc.yaml.
        process: Its number.
        process_started: From `processes.started`.
        at: When it began, seconds since 1970.
        folder: Where dvc.lock is.
    """

    model_config = ConfigDict(frozen=True)

    stage: str
    process: int
    process_started: float
    at: float
    folder: Path

    def find(self) -> psutil.Process | None:
        """Returns the stage's process; None where it has ended."""
        return processes.find(self.process, self.process_started)


class StageOutbox:
    """The folder of one pipeline run, as its stages write it.

    Attributes:
        folder: `.tracking/<key>/` in the project.
        stages: In it, the stages' records as they stand.
        lock: Locked by the one reporter of the pipeline run, as long as it is at work.
        log: What the reporter says.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stages = folder / "stages"
        self.lock, self.log = folder / "reporter.lock", folder / "reporter.log"

    @classmethod
    def current(cls, title: str) -> Self:
        """Returns the folder of the pipeline run that this process belongs to.

        Args:
            title: Of a pipeline run without DVC.
        """
        whole = pipeline_run.owner(psutil.Process())
        found = cls(pipeline_run.project() / TRACKING / pipeline_run.key_of(whole))
        # Below one `mlflow run` there may be one `dvc repro` after the other.
        if not (found._description.exists() and found.pipeline().alive()):
            found._describe(pipeline_run.describe(whole, title))
        return found

    @classmethod
    def open(cls, pipeline: Pipeline) -> Self:
        """Returns the folder of a pipeline run, made where it is not there."""
        found = cls(pipeline_run.project() / TRACKING / pipeline.key)
        if not found._description.exists():
            found._describe(pipeline)
        return found

    def pipeline(self) -> Pipeline:
        """Returns the pipeline run that the folder belongs to."""
        return Pipeline.model_validate(files.read_json(self._description))

    def begin(self, stage: str) -> None:
        """Notes that a stage begins, in this process."""
        (self.stages / f"{stage}.json").unlink(missing_ok=True)
        process = psutil.Process()
        begun = Begun(
            stage=stage,
            process=process.pid,
            process_started=processes.started(process),
            at=time.time(),
            folder=Path.cwd(),
        )
        files.write_json(self.folder / "begun" / f"{stage}.json", begun.model_dump(mode="json"))

    def keep(self, record: Record) -> None:
        """Keeps the record of a stage."""
        files.write_json(self.stages / f"{record.name}.json", record.model_dump())

    def attach(self, name: str, paths: Sequence[Path]) -> None:
        """Copies files and folders, to be shown beside the run of a stage; "" for the parent."""
        for path in paths:
            if path.is_dir():
                shutil.copytree(path, self.artifacts(name) / path.name, dirs_exist_ok=True)
            elif path.exists():
                with files.replacing(self.artifacts(name) / path.name) as beside:
                    shutil.copyfile(path, beside)

    def artifacts(self, name: str) -> Path:
        """Returns the folder of what is attached to a stage; "" for the parent."""
        return self.folder / "artifacts" / (name or "pipeline")

    @property
    def _description(self) -> Path:
        return self.folder / "pipeline.json"

    def _describe(self, pipeline: Pipeline) -> None:
        files.write_json(self._description, pipeline.model_dump())
