"""metrics/evaluate.json: its content, and its models as rows beside the paper's numbers."""

from collections.abc import Collection, Iterable, Mapping

from pydantic import BaseModel, ConfigDict

from stemtune.evaluation import paper

BASELINE, RESIZE = "baseline", "resize"
RETRAINED, EQUAL_COST = "resize_retrained", "resize_retrained_equal_cost"
CONTROLS = (BASELINE, RESIZE, RETRAINED, EQUAL_COST)
STEM = "stem"


class _Content(BaseModel):
    # CI reads files of other revisions: they may hold more, and a field that they lack needs None
    # for its default.
    model_config = ConfigDict(extra="ignore", frozen=True)


class Entry(_Content):
    """What was measured of a model: `metrics.Scores` and `evaluated_models.Cost`.

    Attributes:
        test_accuracy: On test frames, in [0, 1].
        test_accuracy_low: Lower 95% bound of it.
        test_accuracy_high: Upper 95% bound of it.
        clip_accuracy: On clips, whose frames vote, in [0, 1].
        validation_accuracy: On validation frames, in [0, 1].
        calibration_error: Expected calibration error on frames, in [0, 1].
        trainable_params: How many parameters were trained for it.
        stem_params: How many of them are the stem's; None without one.
        total_params: How many parameters it has.
        flops_per_frame: Floating-point operations for one frame.
        input_size: Side of the frames that it takes, px.
    """

    test_accuracy: float
    test_accuracy_low: float
    test_accuracy_high: float
    clip_accuracy: float
    validation_accuracy: float | None = None
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
    """The content of metrics/evaluate.json: controls, stems by variant, and the paper's."""

    baseline: Entry
    resize: Entry
    resize_retrained: Entry
    resize_retrained_equal_cost: Entry | None = None
    stem: dict[str, Entry]
    paper: dict[str, Reported]

    @property
    def controls(self) -> dict[str, Entry]:
        """Those that need no stem, by name, in the order of `CONTROLS`."""
        found = {name: getattr(self, name) for name in CONTROLS}
        return {name: entry for name, entry in found.items() if entry}

    def entry(self, name: str) -> Entry:
        """Returns the entry of a control or of a variant of the stem."""
        return (self.controls | self.stem)[name]

    def best_on_validation(self, names: Iterable[str]) -> str:
        """Returns which of these models validates best; of equal ones, the first by name."""
        return best({name: self.entry(name).validation_accuracy or 0.0 for name in names})


def best(validation_accuracies: Mapping[str, float]) -> str:
    """Returns which of several models validates best; of equal ones, the first by name."""
    return max(sorted(validation_accuracies), key=validation_accuracies.__getitem__)


class Row(Entry):
    """A model of the comparison, beside what the paper has of its kind.

    Attributes:
        name: As in the records.
        model: For people.
        kind: A control's name, or "stem".
        paper_test_accuracy: None where the paper has none of such a model.
        paper_train_minutes: None where the paper has none of such a model.
    """

    name: str
    model: str
    kind: str
    paper_test_accuracy: float | None
    paper_train_minutes: int | None


def of(entries: Mapping[str, Entry]) -> Comparison:
    """Returns the comparison of models with each other and with the paper's.

    Args:
        entries: What was measured of each model, by its name.
    """
    return Comparison(
        **{name: entries[name] for name in CONTROLS},
        stem={name: entry for name, entry in entries.items() if name not in CONTROLS},
        paper={kind: Reported(test_accuracy=share) for kind, share in paper.ACCURACIES.items()},
    )


def rows(compared: Comparison, as_in_paper: Collection[str] = ()) -> list[Row]:
    """Returns a row per model, controls first.

    Args:
        compared: All models.
        as_in_paper: The variants of the stem that the paper's number is for; see
            `AddStem.as_in_paper`.
    """
    controls = [
        _row(compared, entry, name, name, name, name) for name, entry in compared.controls.items()
    ]
    return controls + [
        _row(compared, entry, name, f"stem, {name}", STEM, STEM if name in as_in_paper else "")
        for name, entry in sorted(compared.stem.items())
    ]


def _row(compared: Comparison, entry: Entry, name: str, model: str, kind: str, theirs: str) -> Row:
    reported = compared.paper.get(theirs)
    return Row(
        **entry.model_dump(),
        name=name,
        model=model,
        kind=kind,
        paper_test_accuracy=reported.test_accuracy if reported else None,
        paper_train_minutes=paper.TRAINING_MINUTES.get(theirs),
    )
