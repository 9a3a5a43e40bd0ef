"""The paper's own numbers, to stand beside ours. Its data set is unnamed, and is not ours."""

TITLE = "Hyperparameter optimization of a neural network and reduction of computational cost"
METRICS = {"baseline": {"test_accuracy": 0.9207}, "stem": {"test_accuracy": 0.8437}}
TRAINING_MINUTES = {"baseline": 78, "stem": 48}
# Table 1: trial, epochs, learning rate, training time in minutes, test accuracy.
TABLE_1 = [
    (1, 5, 1e-2, 122, 0.9120),
    (2, 5, 1e-4, 78, 0.9207),
    (3, 5, 1e-5, 85, 0.9111),
    (4, 5, 1e-3, 87, 0.9186),
]
