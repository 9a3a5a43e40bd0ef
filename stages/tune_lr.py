"""tune_lr: Keras Tuner tries Adam's learning rates on cached features. The paper's Table 1.

Reads:  embeddings/ (frames/ where features are not cached), manifest.parquet, block tune_lr of
        params.yaml, and train_best.head
Writes: tuning/trials.csv, tuning/best.json, records/tune_lr.json
Run:    python -m stages.tune_lr
"""

from stemtune import files, manifest, params, records, runtime, stage
from stemtune.paths import BEST, EMBEDDINGS, FRAMES, MANIFEST, TRIALS, UNFINISHED_SEARCH


def main() -> None:
    """Trains heads at each learning rate, chooses on validation, then tests each once."""
    settings = params.load()
    runtime.configure(settings.runtime)
    from stemtune import backbones, dataset, heads, live, search

    table = manifest.read(MANIFEST)
    size, side = settings.extract_frames.size, settings.trained_side
    head = settings.train_best.head
    data = dataset.load_embedded(EMBEDDINGS, settings.embed_frames.backbones, side, table)
    if not head.cached_features:
        network = backbones.build_all(settings.embed_frames, settings.runtime.seed)
        data = live.attach(data, network, FRAMES, table, (size, side), head)
    with records.recording("tune_lr", params.flat("tune_lr", settings.tune_lr)) as record:
        trials = search.search(
            data,
            len(manifest.classes(table)),
            settings.tune_lr,
            head,
            settings.runtime,
            UNFINISHED_SEARCH,
            record,
        )
        for trial in trials:
            tested = [heads.accuracy(trained, data.test) for trained in trial.heads]
            trial.record.metrics |= search.over_seeds("test_accuracy", tested)
        best = search.best(record.parts)
        files.write_csv(TRIALS, search.table(record.parts))
        rate = best.params["learning_rate"]
        chosen_by = {search.OBJECTIVE: best.metrics[search.OBJECTIVE]}
        files.write_json(BEST, {"trial": best.name, "learning_rate": rate, **chosen_by})
        record.metrics = dict(best.metrics)
        record.artifacts = [str(TRIALS)]
    search.clear(UNFINISHED_SEARCH)
    print(f"tune_lr: the best learning rate is {rate:.4g} ({best.name})")


if __name__ == "__main__":
    stage.run("tune_lr", main)
