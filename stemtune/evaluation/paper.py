"""The paper's own numbers, to stand beside ours. Its data set is unnamed, and is not ours."""

from typing import NamedTuple

TITLE = "Hyperparameter optimization of a neural network and reduction of computational cost"
# On test frames, of the two models that it compares.
ACCURACIES = {"baseline": 0.9207, "stem": 0.8437}
TRAINING_MINUTES = {"baseline": 78, "stem": 48}


class PaperTrial(NamedTuple):
    """A row of the paper's Table 1; the accuracy is on test frames, in [0, 1]."""

    trial: int
    epochs: int
    learning_rate: float
    minutes: int
    test_accuracy: float


TABLE_1 = [
    PaperTrial(1, 5, 1e-2, 122, 0.9120),
    PaperTrial(2, 5, 1e-4, 78, 0.9207),
    PaperTrial(3, 5, 1e-5, 85, 0.9111),
    PaperTrial(4, 5, 1e-3, 87, 0.9186),
]
