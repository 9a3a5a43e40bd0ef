"""train_best: the head at the best learning rate, behind the frozen backbone: the baseline.

Reads:  embeddings/, manifest.parquet, tuning/best.json, block train_best of params.yaml
Writes: models/baseline/, records/train_best.json
Run:    python -m stages.train_best
"""

from stemtune import errors, files, manifest, params, records, runtime, weights
from stemtune.paths import BASELINE, BEST, EMBEDDINGS, MANIFEST


def main() -> None:
    """Trains the head on features and stores it together with its backbone."""
    settings = params.load()
    runtime.configure(settings.runtime)
    from stemtune import backbones, dataset, heads, models, training

    table = manifest.read(MANIFEST)
    classes = manifest.classes(table)
    rate = files.read_json(BEST)["learning_rate"]
    data = dataset.load_embedded(
        EMBEDDINGS, settings.embed_frames.backbones, settings.trained_side, table
    )
    record_params = params.flat("train_best", settings.train_best) | {
        "learning_rate": rate,
        "side": settings.trained_side,
    }
    with records.recording("train_best", record_params) as record:
        head = heads.new(data.train.features.shape[1], len(classes), settings.runtime.seed)
        record.epochs = heads.train(
            head,
            rate,
            data,
            settings.train_best.epochs,
            settings.train_best.batch_size,
            "train_best",
        )
        networks = [
            backbones.build(name, source, settings.runtime.seed)
            for name, source in weights.fetch_all(settings.embed_frames).items()
        ]
        baseline = models.assemble("baseline", backbones.concatenate(networks), head)
        models.save(baseline, classes, BASELINE)
        training.write_history(record.epochs, BASELINE)
        record.metrics = record.epochs[-1].metrics
        record.artifacts = [str(BASELINE / training.HISTORY_FILE)]


if __name__ == "__main__":
    errors.run("train_best", main)
