"""How near the benchmarks of networks come to what the machine can do.

The limit is the operations that have to be done, at the rate of a large matrix product. Gradients
for what is in front of a frozen network cost as much again as going through it.

Run: python -m bench.limits, after the benchmarks that it explains
"""

import json
import statistics
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from tabulate import tabulate

from bench import measuring, stem_epoch
from bench.__main__ import RESULTS
from bench.material import SETTINGS
from stemtune.networks import reproducibility

SIDE, CLASSES = 224, 6
PRODUCT, COPIED, REPEATS = 2048, 200 << 20, 9


def main() -> None:
    """Measures the machine, counts operations and prints both beside the results that are kept."""
    reproducibility.configure(SETTINGS.runtime)
    product, copy = _product_rate(), _copy_rate()
    print(f"a product of {PRODUCT} x {PRODUCT} matrices: {product / 1e9:.0f} GFLOP/s")
    print(f"a copy of {COPIED >> 20} MiB, read and written: {copy / 1e9:.1f} GB/s")
    kept = {row["name"]: row for row in json.loads(RESULTS.read_text(encoding="utf-8"))}
    rows = []
    for network, frames in stem_epoch.FULL.frames.items():
        whole, stemmed = _operations(network)
        validation = frames // 4
        epoch = (2 * (frames - validation) + validation) * stemmed
        reached = kept[f"embed/{network}"]["ours"]
        seconds = kept[f"stem_epoch/{network}"]["ours"]
        rows.append(
            {
                "network": network,
                f"GFLOP a frame of {SIDE} px": f"{whole / 1e9:.2f}",
                "with a stem": f"{stemmed / 1e9:.2f}",
                "embed, frames/s": f"{reached:.1f}",
                "at the product's rate": f"{product / whole:.1f}",
                "stem_epoch, s": f"{seconds:.2f}",
                "at this rate": f"{epoch / product:.2f}",
            }
        )
    print(tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True))


def _product_rate() -> float:
    """Returns floating-point operations per second."""
    import tensorflow as tf

    random = np.random.default_rng(1)
    one, other = (
        tf.constant(random.normal(size=(PRODUCT, PRODUCT)).astype(np.float32)) for _ in range(2)
    )
    return 2 * PRODUCT**3 / _median_seconds(lambda: tf.linalg.matmul(one, other).numpy())


def _copy_rate() -> float:
    """Returns bytes per second, those read and those written."""
    source = np.ones(COPIED, np.uint8)
    target = np.ones(COPIED, np.uint8)
    return 2 * COPIED / _median_seconds(lambda: np.copyto(target, source))


def _median_seconds(work: Callable[[], object]) -> float:
    return statistics.median(measuring.seconds(work) for _ in range(REPEATS))


def _operations(network: str) -> tuple[int, int]:
    """Returns what a frame costs without and with a stem, floating-point operations."""
    from stemtune.networks import cost

    stemmed = stem_epoch.untrained_classifier(network, CLASSES)
    whole = replace(stemmed, name="baseline", stem=None)
    return cost.flops(whole.model, SIDE), cost.flops(stemmed.model, SIDE)


if __name__ == "__main__":
    main()
