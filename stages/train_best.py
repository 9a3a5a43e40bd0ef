"""train_best: the head at the best learning rate, behind the frozen backbone: the baseline.

Reads:  embeddings/ (frames/ where features are not cached), manifest.parquet, tuning/best.json,
        block train_best of params.yaml
Writes: models/baseline/, records/train_best.json
Run:    python -m stages.train_best
"""

from functools import partial

from stemtune.core import params, records, stage
from stemtune.core.paths import BASELINE, EMBEDDINGS, FRAMES, HISTORY_FILE, MANIFEST
from stemtune.networks import reproducibility
from stemtune.store import manifest
from stemtune.training import tuned


def main() -> None:
    """Trains the head on features and stores it together with its backbone."""
    settings = params.load()
    reproducibility.configure(settings.runtime)
    from stemtune.networks import backbones, classifier
    from stemtune.training import dataset, fit, heads, live_features

    table = manifest.read(MANIFEST)
    classes = manifest.classes(table)
    rate = tuned.read().learning_rate
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
            embedder = partial(backbones.embedder, network, size=size, side=side)
            data = live_features.attach(data, embedder, FRAMES, table, size, chosen.views)
        plan = heads.HeadPlan(
            name="baseline",
            head=chosen,
            classes=len(classes),
            seed=seed,
            batch_size=settings.train_best.batch_size,
            learning_rate=rate,
            epochs=settings.train_best.epochs,
        )
        trained = heads.train(plan, data, "train_best", on_epoch=record.add)
        head = heads.without_dropout(heads.restored(trained, plan, data.features))
        baseline = classifier.Classifier("baseline", network, head)
        classifier.save(baseline, classes, settings.input_specification(side), BASELINE)
        fit.write_history(trained.training.epochs, BASELINE)
        record.metrics = dict(trained.training.metrics)
        record.artifacts = [str(BASELINE / HISTORY_FILE)]


if __name__ == "__main__":
    stage.run("train_best", main)
