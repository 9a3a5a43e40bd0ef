"""The test clips that the baseline or a stem gets wrong, and how sure it was of that."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stemtune.evaluation import metrics

STEM_ALONE, BASELINE_ALONE, BOTH = KINDS = ("the stem alone", "the baseline alone", "both")


@dataclass(frozen=True)
class Answer:
    """What a model answers on a clip.

    Attributes:
        predicted: The class with the highest mean probability over the clip's test frames.
        probability: That mean, in [0, 1].
        actual_probability: Of the clip's own class, likewise.
    """

    predicted: str
    probability: float
    actual_probability: float


@dataclass(frozen=True)
class Mistake:
    """A test clip that one of two models misses, or both.

    Attributes:
        clip: Path below the data folder.
        actual: Its class.
        shard: Where its frames are.
        indexes: Of its test frames in the shard, in order.
        baseline: What the baseline answers.
        stem: What the model with a stem answers.
    """

    clip: str
    actual: str
    shard: str
    indexes: Sequence[int]
    baseline: Answer
    stem: Answer

    @property
    def missed_by(self) -> str:
        """Which of the models miss it, one of `KINDS`."""
        if self.baseline.predicted == self.actual:
            return STEM_ALONE
        return BASELINE_ALONE if self.stem.predicted == self.actual else BOTH

    @property
    def margin(self) -> float:
        """How much more probable than the clip's class the surest wrong answer was."""
        return max(
            answer.probability - answer.actual_probability
            for answer in (self.baseline, self.stem)
            if answer.predicted != self.actual
        )


def find(
    test: pd.DataFrame, classes: Sequence[str], baseline: np.ndarray, stem: np.ndarray
) -> list[Mistake]:
    """Returns the mistakes, those of the surest wrong answers first.

    Args:
        test: The test frames, rows of the frame table.
        classes: Names of the classes, by label.
        baseline: Probabilities (test frames, classes) of the baseline.
        stem: Those of a model with a stem.
    """
    clips = test.groupby("clip").agg(
        actual=("class", "first"), shard=("shard", "first"), indexes=("index", list)
    )
    answered = zip(
        clips.itertuples(),
        _answers(baseline, test, classes),
        _answers(stem, test, classes),
        strict=True,
    )
    found = [
        Mistake(clip.Index, clip.actual, clip.shard, clip.indexes, *answers)
        for clip, *answers in answered
        if any(answer.predicted != clip.actual for answer in answers)
    ]
    return sorted(found, key=lambda mistake: (-mistake.margin, mistake.clip))


def _answers(probabilities: np.ndarray, test: pd.DataFrame, classes: Sequence[str]) -> list[Answer]:
    """Returns what a model answers on each clip, in the order of their names."""
    means = metrics.clip_probabilities(probabilities, test).to_numpy()
    actual = test.groupby("clip")["label"].first()
    return [
        Answer(classes[mean.argmax()], float(mean.max()), float(mean[own]))
        for mean, own in zip(means, actual, strict=True)
    ]
