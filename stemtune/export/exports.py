"""metrics/export.json: the accuracy of classifiers as LiteRT files."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_serializer, field_validator
from tabulate import tabulate

from stemtune.core.records import Record
from stemtune.evaluation import comparison
from stemtune.evaluation.comparison import Comparison

Precision = Literal["float32", "float16", "int8"]

# As records and metrics/latency.json name them; they are measured, and differ from run to run.
MEDIAN, P95, PEAK = "ms_median", "ms_p95", "peak_mib"


class Export(BaseModel):
    """A classifier as a file, judged on all test frames.

    Attributes:
        model: Name of the classifier that it is made of.
        precision: float32, float16 or int8.
        side: Of the frames that it takes, px.
        bytes: Size of the file.
        test_accuracy: On test frames, in [0, 1].
        test_accuracy_low: Lower 95% bound of it.
        test_accuracy_high: Upper 95% bound of it.
        keras_accuracy: Of the classifier in Keras, on the same frames.
        difference: The file's accuracy less that of the classifier in Keras.
        difference_low: Lower 95% bound of it, by a paired bootstrap over groups.
        difference_high: Upper 95% bound of it.
        agreement: Share of the frames that both give the same class, in [0, 1].
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    model: str
    precision: str
    side: int
    bytes: int
    test_accuracy: float
    test_accuracy_low: float
    test_accuracy_high: float
    keras_accuracy: float
    difference: float
    difference_low: float
    difference_high: float
    agreement: float

    def numbers(self) -> dict[str, float]:
        """Returns what was measured of it, by name."""
        return self.model_dump(exclude={"model", "precision", "side"})


class Exports(BaseModel):
    """The content of metrics/export.json: exports by name, such as retrained_224_int8.

    In the file they are a list, of which `dvc exp show` has no columns: those of their models are
    enough.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    exports: Mapping[str, Export]

    @field_validator("exports", mode="before")
    @classmethod
    def _by_name(cls, given: Any) -> Any:
        if not isinstance(given, list):
            return given
        found = [Export.model_validate(each) for each in given]
        return {f"{each.model}_{each.precision}": each for each in found}

    @field_serializer("exports")
    def _as_list(self, exports: Mapping[str, Export]) -> list[Export]:
        return [exports[name] for name in sorted(exports)]


def wanted(
    compared: Comparison, kinds: Collection[str], small_side: int
) -> dict[str, list[Precision]]:
    """Returns the models that become files, with their precisions.

    Each is priced as float32. The new heads and the best stem are candidates as int8 too; the
    baseline is not, as the new head of full frames differs from it in its weights alone. float16 is
    made of the head of the smallest frames and of the best stem.

    Args:
        compared: All models.
        kinds: `export.models`.
        small_side: Of frames as small as a stem makes them, px.
    """
    best = compared.best_stem()
    smaller = (comparison.named(comparison.RETRAINED, small_side), best)
    found: dict[str, list[Precision]] = {}
    for name in compared.models:
        kind = comparison.kind_of(name)
        if kind in kinds:
            halved: list[Precision] = ["float16"] if name in smaller else []
            is_candidate = kind == comparison.RETRAINED or name == best
            whole: list[Precision] = ["int8"] if is_candidate else []
            found[name] = ["float32", *halved, *whole]
    return found


def lines(judged: Exports, timed: Sequence[Record]) -> list[str]:
    """Returns a line for each model: test accuracy and milliseconds a frame of its files.

    Args:
        judged: The content of metrics/export.json.
        timed: The files' records, with times.
    """
    times = {record.name: record.metrics[MEDIAN] for record in timed}
    by_model: dict[str, list[str]] = {}
    for name, export in judged.exports.items():
        said = f"{export.precision} {export.test_accuracy:.1%}, {times[name]:.1f} ms"
        by_model.setdefault(export.model, []).append(said)
    width = max(map(len, by_model), default=0)
    return [f"{model:{width}}  {'; '.join(said)}" for model, said in by_model.items()]


def table(judged: Exports, timed: Sequence[Record], style: str) -> str:
    """Returns a table of the files with their accuracy, size and times.

    Args:
        judged: The content of metrics/export.json.
        timed: The files' records, with times and memory.
        style: A table format of tabulate, such as "simple" for a terminal.
    """
    times = {record.name: record.metrics for record in timed}
    lines = []
    for name, export in judged.exports.items():
        low, high = 100 * export.difference_low, 100 * export.difference_high
        lines.append(
            {
                "export": name,
                "side": f"{export.side} px",
                "test accuracy": f"{export.test_accuracy:.2%}",
                "95% bounds": f"{export.test_accuracy_low:.1%} to {export.test_accuracy_high:.1%}",
                "against Keras": f"{100 * export.difference:+.2f} ({low:+.1f} to {high:+.1f})",
                "agreement": f"{export.agreement:.1%}",
                "MB": f"{export.bytes / 1e6:.1f}",
                "peak MiB": f"{times[name][PEAK]:.0f}" if PEAK in times[name] else "unknown",
                "ms": f"{times[name][MEDIAN]:.2f}",
                "ms, p95": f"{times[name][P95]:.2f}",
            }
        )
    return tabulate(lines, headers="keys", tablefmt=style, disable_numparse=True)
