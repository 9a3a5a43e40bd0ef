"""train_best: the head at the best learning rate, behind the frozen backbone: the baseline.

Reads:  embeddings/ (frames/ where features are not cached), manifest.parquet, tuning/best.json,
        block train_best of params.yaml
Writes: models/baseline/, records/train_best.json
Run:    python -m stages.train_best
"""

from stemtune import files, manifest, params, records, runtime, stage
from stemtune.paths import BASELINE, BEST, EMBEDDINGS, FRAMES, MANIFEST


def main() -> None:
    """Trains the head on features and stores it together with its backbone."""
    settings = params.load()
    runtime.configure(settings.runtime)
    from stemtune import backbones, dataset, heads, live, models, training

    table = manifest.read(MANIFEST)
    classes = manifest.classes(table)
    rate = files.read_json(BEST)["learning_rate"]
    size, seed = settings.extract_frames.size, settings.runtime.seed
    side = settings.trained_side
    data = dataset.load_embedded(EMBEDDINGS, settings.embed_frames.backbones, side, table)
    record_params = params.flat("train_best", settings.train_best) | {
        "learning_rate": rate,
        "side": side,
    }
    with records.recording("train_best", record_params) as record:
        network = backbones.build_all(settings.embed_frames, seed)
        chosen = settings.train_best.head
        if not chosen.cached_features:
            data = live.attach(data, network, FRAMES, table, (size, side), chosen)
        head = heads.new(data.train.features.shape[1], len(classes), chosen, seed)
        heads.train(
            head,
            rate,
            data,
            settings.train_best.epochs,
            settings.train_best.batch_size,
            "train_best",
            record.add,
        )
        baseline = models.assemble("baseline", network, heads.trained(head))
        trained_on = models.TrainedOn(settings.extract_frames.frames_per_clip, size, side)
        models.save(baseline, classes, trained_on, BASELINE)
        training.write_history(record.epochs, BASELINE)
        record.metrics = record.epochs[-1].metrics
        record.artifacts = [str(BASELINE / training.HISTORY_FILE)]


if __name__ == "__main__":
    stage.run("train_best", main)
