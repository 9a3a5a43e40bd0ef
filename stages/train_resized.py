"""train_resized: a new head for smaller frames, at each side: what one would do without a stem.

A head that was trained on full frames does not suit smaller ones. Each of these tries several
learning rates; the rate and the epoch with the lowest validation loss are kept.

Reads:  embeddings/, embeddings_augmented/ (frames/ where features are not cached),
        manifest.parquet, add_stem.retrained_head of params.yaml
Writes: models/retrained/<side>/, records/train_resized.json
Run:    python -m stages.train_resized
"""

from functools import partial

from stemtune.core import params, records, stage
from stemtune.core.params import Params
from stemtune.core.paths import AUGMENTED, EMBEDDINGS, FRAMES, MANIFEST, RETRAINED
from stemtune.networks import reproducibility
from stemtune.store import embeddings, manifest


def main() -> None:
    """Trains and stores a head for each side of frames that has the features."""
    settings = params.load()
    reproducibility.configure(settings.runtime)
    from stemtune.networks import backbones, classifier
    from stemtune.training import dataset, fit, heads, live_features
    from stemtune.training.kept import Kept

    table, kept = manifest.read(MANIFEST), Kept("train_resized")
    classes, head = manifest.classes(table), settings.train_best.head
    used, size = settings.embed_frames.backbones, settings.extract_frames.size
    views = settings.add_stem.retrained_head.views
    flat = params.flat("add_stem.retrained_head", settings.add_stem.retrained_head)
    with records.recording("train_resized", flat) as record:
        network = backbones.build_all(settings.embed_frames, settings.runtime.seed)
        for side in sides(settings):
            data = dataset.load_embedded(EMBEDDINGS, used, side, table)
            if not head.cached_features:
                embedder = partial(backbones.embedder, network, size=size, side=side)
                data = live_features.attach(data, embedder, FRAMES, table, size, views)
            elif views > 1:
                frames = manifest.frame_table(table)
                train = frames[frames["split"] == manifest.TRAIN]
                data = data.with_more(dataset.load_features(AUGMENTED, used, side, train))
            plans = heads.plans(settings, len(classes), f"retrained_{side}, ")
            fitted = partial(
                heads.train, data=data, title="train_resized", tell=record.show, kept=kept
            )
            found = heads.best(list(map(fitted, plans)), plans[0], data.features)
            folder = RETRAINED / str(side)
            trained = classifier.Classifier(f"retrained_{side}", network, found.head)
            classifier.save(trained, classes, settings.input_specification(side), folder)
            fit.write_history(found.training.epochs, folder)
            for name in ("accuracy", "loss"):
                value = found.training.metrics[f"validation_{name}"]
                record.metrics[f"retrained_{side}_validation_{name}"] = value
    kept.clear()


def sides(settings: Params) -> list[int]:
    """Returns the sides, px, at which train frames have all features that new heads learn from."""
    used, chosen = settings.embed_frames.backbones, settings.add_stem.retrained_head
    known = embeddings.sides(EMBEDDINGS, used)
    if chosen.views == 1 or not settings.train_best.head.cached_features:
        return known
    return [side for side in known if side in embeddings.sides(AUGMENTED, used)]


if __name__ == "__main__":
    stage.run("train_resized", main)
