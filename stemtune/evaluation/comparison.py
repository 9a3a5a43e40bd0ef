"""metrics/evaluate.json: its content, and its models as rows beside the paper's numbers."""

from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from stemtune.core.paths import BASELINE as BASELINE_FOLDER
from stemtune.core.paths import RETRAINED as RETRAINED_FOLDER
from stemtune.core.paths import STEMS
from stemtune.core.settings.training import TAKEN
from stemtune.evaluation import paper

# Kinds of models.
BASELINE, RESIZE, RETRAINED, STEM = "baseline", "resize", "retrained", "stem"


class _Content(BaseModel):
    # CI reads files of other revisions: they may hold more, and a field that they lack needs None
    # for its default.
    model_config = ConfigDict(extra="ignore", frozen=True)


class ModelMetrics(_Content):
    """What was measured of a model; accuracies in [0, 1], with 95% confidence intervals.

    Attributes:
        test_accuracy: On test frames.
        test_accuracy_low: Lower end of its interval.
        test_accuracy_high: Upper end of its interval.
        clip_accuracy: On test clips, by the mean of their frames' probabilities, as it is served.
        clip_accuracy_low: Lower end of its interval.
        clip_accuracy_high: Upper end of its interval.
        validation_accuracy: On validation frames; None in files of older revisions that lack it.
        validation_loss: Mean cross-entropy on validation frames, by which models are chosen.
        calibration_error: Expected calibration error on test frames.
        trainable_params: How many parameters were trained for it.
        stem_params: How many of them are the stem's; None without one.
        total_params: How many parameters it has.
        flops_per_frame: Floating-point operations of the graph that runs, for one frame.
        input_size: Side of the frames that it takes, px.
    """

    test_accuracy: float
    test_accuracy_low: float
    test_accuracy_high: float
    clip_accuracy: float
    clip_accuracy_low: float | None = None
    clip_accuracy_high: float | None = None
    validation_accuracy: float | None = None
    validation_loss: float | None = None
    calibration_error: float
    trainable_params: int
    stem_params: int | None = None
    total_params: int
    flops_per_frame: int
    input_size: int

    def values(self) -> dict[str, float]:
        """Returns what there is of it, by name, as the file has it."""
        return self.model_dump(exclude_none=True)


class Reported(_Content):
    """What the paper reports of a model; in [0, 1]."""

    test_accuracy: float


class Comparison(_Content):
    """The content of metrics/evaluate.json.

    Attributes:
        baseline: The frozen network with its head.
        resize: By side, px: the baseline on frames of that side; there is one, the small one.
        retrained: By `Retrained.key`: a new head for frames of a side.
        stem: By variant.
        paper: What the paper reports, by kind.
    """

    baseline: ModelMetrics
    resize: dict[str, ModelMetrics]
    retrained: dict[str, ModelMetrics]
    stem: dict[str, ModelMetrics]
    paper: dict[str, Reported]

    @model_validator(mode="before")
    @classmethod
    def _takes_the_form_of_older_revisions(cls, content: Any) -> Any:
        """Puts models of one side under their side, as older revisions did not."""
        if not isinstance(content, dict) or "test_accuracy" not in content.get(RESIZE, {}):
            return content
        retrained = [content.get("resize_retrained"), content.get("resize_retrained_equal_cost")]
        moved = {RESIZE: [content[RESIZE]], RETRAINED: [each for each in retrained if each]}
        return content | {
            kind: {str(each["input_size"]): each for each in models}
            for kind, models in moved.items()
        }

    @property
    def models(self) -> dict[str, ModelMetrics]:
        """All models by name, such as `retrained_112`: those without a stem first.

        Of `resize`, those at sides for which a head was trained too.
        """
        # Backbones by name, the project's own first, each by rising side.
        keys = sorted(self.retrained, key=lambda key: (key.rpartition("_")[0], side_of(key)))
        resized = {named(RESIZE, key): self.resize[key] for key in keys if key in self.resize}
        retrained = {named(RETRAINED, key): self.retrained[key] for key in keys}
        return {BASELINE: self.baseline} | resized | retrained | dict(sorted(self.stem.items()))

    def best_stem(self) -> str:
        """Returns the variant that is best on validation."""
        return ranked(self.stem)[0]


def named(kind: str, key: int | str) -> str:
    """Returns the name of a model of `resize` or `retrained`."""
    return f"{kind}_{key}"


def side_of(key: str) -> int:
    """Returns the side of frames, px, by the key of a model of `retrained`."""
    return int(key.rpartition("_")[2])


def kind_of(name: str) -> str:
    """Returns the kind of a model, by its name."""
    return name.partition("_")[0] if TAKEN.fullmatch(name) else STEM


def folder(name: str) -> Path:
    """Returns where the model of a name is stored; that of `resize` is the baseline."""
    kind = kind_of(name)
    if kind == STEM:
        return STEMS / name
    return RETRAINED_FOLDER / name.partition("_")[2] if kind == RETRAINED else BASELINE_FOLDER


def ranked(models: Mapping[str, ModelMetrics]) -> list[str]:
    """Returns the names of models, the lowest validation loss first; of equal ones by name.

    Files of older revisions have no loss; there the highest accuracy decides.
    """

    def key(name: str) -> tuple[float, float]:
        loss = models[name].validation_loss
        return inf if loss is None else loss, -(models[name].validation_accuracy or 0.0)

    return sorted(sorted(models), key=key)


class Row(ModelMetrics):
    """A model of the comparison, beside what the paper has of its kind.

    Attributes:
        name: As in the records.
        model: For people.
        kind: baseline, resize, retrained or stem.
        paper_test_accuracy: None if the paper has no such model.
        paper_train_minutes: None if the paper has no such model.
    """

    name: str
    model: str
    kind: str
    paper_test_accuracy: float | None = None
    paper_train_minutes: int | None = None


def of(entries: Mapping[str, ModelMetrics]) -> Comparison:
    """Returns the comparison of models, by their names, with each other and with the paper's."""
    by_kind: dict[str, dict[str, ModelMetrics]] = {RESIZE: {}, RETRAINED: {}, STEM: {}}
    for name, entry in entries.items():
        if name != BASELINE:
            kind = kind_of(name)
            by_kind[kind][name if kind == STEM else name.partition("_")[2]] = entry
    return Comparison(
        baseline=entries[BASELINE],
        paper={kind: Reported(test_accuracy=share) for kind, share in paper.ACCURACIES.items()},
        **by_kind,
    )


def rows(compared: Comparison) -> list[Row]:
    """Returns a row per model, those without a stem first."""
    found = []
    for name, entry in compared.models.items():
        kind = kind_of(name)
        reported = compared.paper.get(kind)
        found.append(
            Row(
                **entry.model_dump(),
                name=name,
                model=f"stem, {name}" if kind == STEM else name,
                kind=kind,
                paper_test_accuracy=reported.test_accuracy if reported else None,
                paper_train_minutes=paper.TRAINING_MINUTES[kind] if reported else None,
            )
        )
    return found
