"""tune_lr: Keras Tuner tries Adam's learning rates on cached features. The paper's Table 1.

Reads:  embeddings/ (frames/ if features are not cached), manifest.parquet, block tune_lr of
        params.yaml, and train_best.head
Writes: tuning/trials.csv, tuning/best.json, records/tune_lr.json
Run:    python -m stemtune.run tune_lr
"""

from functools import partial

from stemtune.core import files, params, terminal
from stemtune.core.paths import MANIFEST, TRIALS
from stemtune.core.records import Record
from stemtune.networks import engines
from stemtune.store import manifest
from stemtune.training import rates, tuned


def main(record: Record) -> list[str]:
    """Trains heads at each learning rate, and chooses on validation; returns a table of them."""
    settings = params.load()
    engine = engines.choose(settings.runtime)
    from stemtune.training import features, fit, lr_search, trials
    from stemtune.training.kept import Kept

    views, kept = settings.train_best.head.views, Kept("tune_lr")
    size = settings.extract_frames.size
    load = partial(features.load, settings, settings.embed_frames, size, views)
    data, classes = load(), len(manifest.classes(manifest.read(MANIFEST)))
    with record.timed(params.flat("tune_lr", settings.tune_lr)):
        search = lr_search.LearningRateSearch(settings, data, classes, kept, record.show)
        search.run_ahead(engine, load)
        with terminal.steps("tune_lr", search.planned_epochs, "epochs"):
            search.search()
        search.require_coverage()
        best = trials.best(search.trials)
        fit.require_convergence(best, "tune_lr.learning_rates")
        files.write_csv(TRIALS, trials.table(search.trials))
        tuned.write(
            tuned.Best(
                trial=best.name,
                learning_rate=best.learning_rate,
                validation_accuracy=best.metrics[trials.OBJECTIVE],
            )
        )
        record.metrics = best.metrics
        record.artifacts = [str(TRIALS)]
        rates_tried = settings.tune_lr.learning_rates
        if advice := rates.advice(rates_tried, best.learning_rate, "tune_lr.learning_rates"):
            record.note(advice)
    kept.clear()
    return trials.lines(search.trials)
