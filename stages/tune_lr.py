"""tune_lr: Keras Tuner tries Adam's learning rates on cached features. The paper's Table 1.

Reads:  embeddings/, manifest.parquet, block tune_lr of params.yaml
Writes: tuning/trials.csv, tuning/best.json, records/tune_lr.json
Run:    python -m stages.tune_lr
"""

import pandas as pd

from stemtune import errors, files, manifest, params, records, runtime
from stemtune.paths import BEST, EMBEDDINGS, MANIFEST, TRIALS, UNFINISHED_SEARCH


def main() -> None:
    """Trains a head per learning rate, chooses on validation, and tests each once afterwards."""
    settings = params.load()
    runtime.configure(settings.runtime)
    from stemtune import dataset, heads, search

    table = manifest.read(MANIFEST)
    data = dataset.load_embedded(
        EMBEDDINGS, settings.embed_frames.backbones, settings.trained_side, table
    )
    with records.recording("tune_lr", params.flat("tune_lr", settings.tune_lr)) as record:
        trials = search.search(
            data,
            len(manifest.classes(table)),
            settings.tune_lr,
            settings.runtime.seed,
            UNFINISHED_SEARCH,
        )
        for trial, head in trials:
            trial.metrics["test_accuracy"] = heads.accuracy(head, data.test)
        record.parts = [trial for trial, _ in trials]
        best = search.best(record.parts)
        write_trials(record.parts)
        chosen_by = {search.OBJECTIVE: best.metrics[search.OBJECTIVE]}
        files.write_json(BEST, {"trial": best.name, **best.params, **chosen_by})
        record.metrics = dict(best.metrics)
        record.artifacts = [str(TRIALS)]
    search.clear(UNFINISHED_SEARCH)
    print(f"tune_lr: the best learning rate is {best.params['learning_rate']:g} ({best.name})")


def write_trials(trials: list[records.Record]) -> None:
    """Writes Table 1: a row per trial."""
    rows = [
        {
            "trial": trial.name,
            "epochs": len(trial.epochs),
            **trial.params,
            "validation_accuracy": trial.metrics["validation_accuracy"],
            "test_accuracy": trial.metrics["test_accuracy"],
        }
        for trial in trials
    ]
    files.write_csv(TRIALS, pd.DataFrame(rows))


if __name__ == "__main__":
    errors.run("tune_lr", main)
