"""Makes a file for devices of a stored classifier, and judges it, in whichever process."""

from collections.abc import Callable
from typing import NamedTuple

from stemtune.core import paths
from stemtune.core.params import Params
from stemtune.core.records import Record
from stemtune.evaluation import comparison
from stemtune.export import conversion, judging
from stemtune.export.exports import Export, Precision
from stemtune.networks import classifier


class FileTask(NamedTuple):
    """A file to make: of which model, and at which precision."""

    model: str
    precision: Precision

    @property
    def name(self) -> str:
        """Of the file, without suffix, and of the record of making it."""
        return f"{self.model}_{self.precision}"


def make(settings: Params, threads: int, task: FileTask, tell: Callable[[Record], None]) -> Export:
    """Writes a model at a precision, and judges the file.

    Args:
        settings: The content of params.yaml.
        threads: How many frames the file answers at a time.
        task: What to make.
        tell: Receives the record of it as it begins, and when it is done.
    """
    folder = comparison.folder(task.model)
    model, side = classifier.load(folder), classifier.specification(folder).side
    settled = {"model": task.model, "precision": task.precision, "input_size": side}
    record = Record.start(task.name, settled)
    tell(record)
    judge = judging.Judge.of(settings, threads)
    calibration = judge.calibration(side, settings.export.calibration_frames)
    path = conversion.write(model, folder, task.precision, calibration, paths.EXPORTS)
    export = judge.judge(path, task.model, task.precision, side)
    record.metrics, record.artifacts = export.numbers(), [str(path)]
    record.finish()
    tell(record)
    return export
