"""Scores candidates on the same test frames, and makes the tables that the report shows of them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from stemtune.evaluation import comparison, metrics
from stemtune.evaluation.comparison import Entry
from stemtune.evaluation.evaluated_models import EvaluatedModel
from stemtune.networks import cost
from stemtune.networks.classifier import Classifier


@dataclass(frozen=True)
class Scorer:
    """What all candidates are judged on.

    Attributes:
        test: The test frames, rows of the frame table.
        classes: Names of the classes, by label.
        samples: How often groups of frames are drawn for bounds, the same ones for all.
        seed: Of these draws.
    """

    test: pd.DataFrame
    classes: list[str]
    samples: int
    seed: int

    def entry(self, model: EvaluatedModel) -> Entry:
        """Returns what metrics/evaluate.json holds of a model: its scores and its cost."""
        return Entry(
            **asdict(self._scores(model.probabilities)),
            validation_accuracy=model.validation_accuracy,
            **asdict(model.cost()),
        )

    def answers(self, compared: Mapping[str, EvaluatedModel]) -> dict[str, pd.DataFrame]:
        """Returns, by model, rows of `actual` and `predicted`, one per test frame."""
        return {
            name: metrics.predictions(candidate.probabilities, self.test, self.classes)
            for name, candidate in compared.items()
        }

    def calibration(self, compared: Mapping[str, EvaluatedModel]) -> pd.DataFrame:
        """Returns the bins of `evaluation.calibration` of all models, with a column `model`."""
        return _stacked(
            {
                name: metrics.calibration(candidate.probabilities, self.test)
                for name, candidate in compared.items()
            }
        )

    def comparisons(self, compared: Mapping[str, EvaluatedModel]) -> pd.DataFrame:
        """Returns a row per `stem` and `other`, a control, with how they differ."""
        return pd.DataFrame(
            [
                {"stem": stem, "other": control, **asdict(self.compare(compared, stem, control))}
                for stem in compared
                if stem not in comparison.CONTROLS
                for control in comparison.CONTROLS
            ]
        )

    def curve(self, baseline: Classifier, resized: Mapping[int, np.ndarray]) -> pd.DataFrame:
        """Returns a row per side of frames with the scores of the baseline on such frames.

        Columns: side, px; those of `metrics.Scores`; flops_per_frame.
        """
        return pd.DataFrame(
            [
                {
                    "side": side,
                    **asdict(self._scores(probabilities)),
                    "flops_per_frame": cost.flops(baseline.model, side),
                }
                for side, probabilities in resized.items()
            ]
        )

    def _scores(self, probabilities: np.ndarray) -> metrics.Scores:
        return metrics.scores(probabilities, self.test, self.samples, self.seed)

    def compare(
        self, compared: Mapping[str, EvaluatedModel], first: str, second: str
    ) -> metrics.Difference:
        """Returns how the accuracies of two models differ, by their names, first less second."""
        one, other = compared[first].probabilities, compared[second].probabilities
        return metrics.compare(one, other, self.test, self.samples, self.seed)


def per_class(answers: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Returns, from `Scorer.answers`, the accuracy of every model on every class.

    Columns: class, frames, accuracy, model.
    """
    return _stacked({name: metrics.per_class(rows) for name, rows in answers.items()})


def _stacked(by_model: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Returns the tables of several models as one with a column `model`."""
    return pd.concat(
        [table.assign(model=name) for name, table in by_model.items()], ignore_index=True
    )
