"""train_resized: a new head for smaller frames, at each side: what one would do without a stem.

A head that was trained on full frames does not suit smaller ones. Each of these tries several
learning rates; the rate and the epoch with the lowest validation loss are kept.

Reads:  embeddings/, embeddings_augmented/ (frames/ where features are not cached),
        manifest.parquet, add_stem.retrained_head of params.yaml
Writes: models/retrained/<side>/, records/train_resized.json
Run:    python -m stages.train_resized
"""

from stemtune.core import params, records, stage
from stemtune.core.params import Params
from stemtune.core.paths import AUGMENTED, EMBEDDINGS, MANIFEST, RETRAINED
from stemtune.networks import reproducibility
from stemtune.store import embeddings, manifest


def main() -> None:
    """Trains and stores a head for each side of frames that has the features."""
    settings = params.load()
    reproducibility.configure(settings.runtime)
    from stemtune.networks import backbones, classifier
    from stemtune.training import features, fit, heads
    from stemtune.training.kept import Kept

    classes, kept = manifest.classes(manifest.read(MANIFEST)), Kept("train_resized")
    chosen = settings.add_stem.retrained_head
    flat = params.flat("add_stem.retrained_head", chosen)
    with records.recording("train_resized", flat) as record:
        network = backbones.build_all(settings.embed_frames, settings.runtime.seed)
        for side in sides(settings):
            name, folder = f"retrained_{side}", RETRAINED / str(side)
            data = features.load(settings, side, chosen.views, network)
            plans = heads.plans(settings, len(classes), f"{name}, ")
            found = heads.train(plans, data, "train_resized", record.show, memory=kept)
            setting = "add_stem.retrained_head.learning_rates"
            fit.require_convergence(found.metrics, found.learning_rate, setting)
            trained = classifier.Classifier(name, network, found.head)
            classifier.save(trained, classes, settings.input_specification(side), folder)
            fit.write_history(found.training.epochs, folder)
            for metric in ("validation_accuracy", "validation_loss"):
                record.metrics[f"{name}_{metric}"] = found.metrics[metric]
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
