"""A stem's forward and backward pass in blocks, against Keras' own convolutions."""

import statistics
import time
from collections.abc import Callable
from typing import Any

from stemtune import params, runtime

RUNS = 7
BATCH, SIDE = 32, 224
TARGET = 0.5


def measure() -> list[dict[str, Any]]:
    """Returns the row `stem_step`, in seconds for a batch of 32 frames of 224 px."""
    runtime.configure(params.load().runtime)
    import tensorflow as tf

    from stemtune import stem

    built = stem.build("random", stride=2, seed=1)
    frames = tf.random.uniform((BATCH, SIDE, SIDE, 3))

    def step(compute: Callable[[Any], Any]) -> Callable[[], Any]:
        @tf.function
        def compiled() -> Any:
            with tf.GradientTape() as tape:
                total = tf.reduce_sum(compute(frames) ** 2)
            return tape.gradient(total, [variable.value for variable in built.trainable_variables])

        return compiled

    blocks, layers = step(lambda x: stem.convolve(built, x)), step(built)
    ours, theirs = [], []
    for compute in (blocks, layers):
        _seconds(compute)
    for _ in range(RUNS):
        ours.append(_seconds(blocks))
        theirs.append(_seconds(layers))
    middle, other = statistics.median(ours), statistics.median(theirs)
    return [
        {
            "name": "stem_step",
            "ours": middle,
            "theirs": other,
            "other": f"Keras' Conv2D, {BATCH} frames of {SIDE} px, seconds",
            "ratio": middle / other,
            "spread": (max(ours) - min(ours)) / middle,
            "target": TARGET,
            "met": middle <= TARGET * other,
            "runs": RUNS,
        }
    ]


def _seconds(compute: Callable[[], Any]) -> float:
    started = time.perf_counter()
    compute()[0].numpy()
    return time.perf_counter() - started
