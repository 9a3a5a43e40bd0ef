"""What exported files answer for clips.

A float32 file of full frames answers as its model does in predictions/, the others as
predictions_exported/ has it: frames of smaller sides are rounded before a file sees them.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from stemtune.core import litter
from stemtune.core.errors import Missing
from stemtune.evaluation import clip_answers, predictions
from stemtune.evaluation.clip_answers import ClipAnswers

FLOAT32, INT8 = "float32", "int8"
FILE_SUFFIX = ".tflite"


class FileAnswers:
    """What exported files answer for the frames of validation and test.

    Attributes:
        files: Their names without suffix, such as retrained_112_int8.
    """

    def __init__(self, predicted: Path, exported: Path) -> None:
        """Lists them.

        Args:
            predicted: `predictions/`, the models' answers, for float32.
            exported: `predictions_exported/`, answers of files that differ from their models.

        Raises:
            Missing: There are no predictions.
        """
        if not predicted.exists():
            raise Missing(predicted)
        found = {f"{path.stem}_{FLOAT32}": path for path in _listed(predicted)}
        found |= {path.stem: path for path in _listed(exported)}
        self.files = found
        self._table = cache(lambda file: predictions.read_file(found[file]))
        self._folders = {FLOAT32: predicted, INT8: exported}
        self.of = cache(self._of)

    def require(self, names: Iterable[str]) -> None:
        """Raises Missing unless all files of these names have answers; float16 has none."""
        for name in names:
            model, _, precision = name.rpartition("_")
            if precision in self._folders and name not in self.files:
                stem = model if precision == FLOAT32 else name
                raise Missing(self._folders[precision] / f"{stem}{predictions.SUFFIX}")

    def _of(self, file: str, split: str, frames: int) -> ClipAnswers:
        """Returns a file's answers for the clips of a split, from N frames of each."""
        table = self._table(file)
        return clip_answers.of_frames(table[table["split"] == split], frames)


def _listed(folder: Path) -> list[Path]:
    return [*litter.visible(folder, f"*{predictions.SUFFIX}")] if folder.exists() else []
