"""tune_lr: Keras Tuner tries Adam's learning rates on cached features. The paper's Table 1.

Reads:  embeddings/ (frames/ where features are not cached), manifest.parquet, block tune_lr of
        params.yaml, and train_best.head
Writes: tuning/trials.csv, tuning/best.json, records/tune_lr.json
Run:    python -m stages.tune_lr
"""

from functools import partial

from stemtune.core import files, params, records, stage
from stemtune.core.paths import EMBEDDINGS, FRAMES, MANIFEST, TRIALS
from stemtune.engine import choice
from stemtune.networks import reproducibility
from stemtune.store import manifest
from stemtune.training import rates, tuned


def main() -> None:
    """Trains heads at each learning rate, chooses on validation, then tests each once."""
    settings = params.load()
    configure = partial(reproducibility.configure, settings.runtime)
    engine = choice.choose(settings.runtime.threads, configure)
    configure()
    from stemtune.networks import backbones
    from stemtune.training import dataset, heads, live_features, lr_search, trials
    from stemtune.training.kept import Kept

    table = manifest.read(MANIFEST)
    size, side = settings.extract_frames.size, settings.trained_side
    embed, head, seed = settings.embed_frames, settings.train_best.head, settings.runtime.seed
    load = partial(dataset.load_embedded, EMBEDDINGS, embed.backbones, side, table)
    if not head.cached_features:
        build = partial(backbones.build_embedder, embed, seed, size, side)
        load = partial(live_features.load, load, build, FRAMES, table, size, head.views)
    data, kept = load(), Kept("tune_lr")
    with records.recording("tune_lr", params.flat("tune_lr", settings.tune_lr)) as record:
        search = lr_search.LearningRateSearch(
            data,
            len(manifest.classes(table)),
            settings.tune_lr,
            head,
            seed,
            kept,
            lambda trial: record.show(trials.record_of(trial)),
        )
        search.run_ahead(engine, load)
        search.search()
        search.require_coverage()
        tried = [
            trial.tested([heads.accuracy(head, data.test) for head in search.heads_of(trial)])
            for trial in search.trials
        ]
        for trial in tried:
            record.show(trials.record_of(trial))
        best = trials.best(tried)
        files.write_csv(TRIALS, trials.table(tried))
        tuned.write(
            tuned.Best(
                trial=best.name,
                learning_rate=best.learning_rate,
                validation_accuracy=best.metrics[trials.OBJECTIVE],
            )
        )
        record.metrics = best.metrics
        record.artifacts = [str(TRIALS)]
        print(f"tune_lr: the best learning rate is {best.learning_rate:.4g} ({best.name})")
        rates_tried = settings.tune_lr.learning_rates
        if advice := rates.advice(rates_tried, best.learning_rate, "tune_lr.learning_rates"):
            record.note(advice)
    kept.clear()


if __name__ == "__main__":
    stage.run("tune_lr", main)
