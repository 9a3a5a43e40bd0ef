"""train_resized: a new head for frames of each side: what one would do without a stem.

A head that was trained on full frames does not suit smaller ones. The full side has one too, so all
sides are compared after the same search. Each tries several learning rates; the rate and the epoch
with the lowest validation loss are kept.

Reads:  embeddings/, embeddings_augmented/ (frames/ if features are not cached),
        manifest.parquet, add_stem.retrained_head, and sides and backbones of compare
Writes: models/retrained/<side>/, models/retrained/<other backbone>_<side>/,
        records/train_resized.json
Run:    python -m stemtune.run train_resized
"""

from itertools import groupby
from operator import attrgetter

from stemtune.core import params, terminal
from stemtune.core.paths import MANIFEST, RETRAINED
from stemtune.core.records import Record
from stemtune.networks import reproducibility
from stemtune.store import manifest


def main(record: Record) -> list[str]:
    """Trains and stores a head for each side of frames; returns a line for each."""
    settings = params.load()
    reproducibility.configure(settings.runtime)
    from stemtune.networks import backbones, classifier
    from stemtune.training import features, fit, heads
    from stemtune.training.kept import Kept

    classes, kept = manifest.classes(manifest.read(MANIFEST)), Kept("train_resized")
    chosen = settings.add_stem.retrained_head
    flat = params.flat("add_stem.retrained_head", chosen)
    epochs = len(settings.retrained) * len(chosen.learning_rates) * chosen.epochs
    lines = []
    with record.timed(flat), terminal.steps("train_resized", epochs, "epochs"):
        for embed, wanted in groupby(settings.retrained, key=attrgetter("embed")):
            network = backbones.build_all(embed, settings.runtime.seed)
            for key, _, side in wanted:
                name, folder = f"retrained_{key}", RETRAINED / key
                data = features.load(settings, embed, side, chosen.views, network)
                plans = heads.plans(settings, len(classes), f"{name}, ")
                found = heads.train(plans, data, "train_resized", record.show, memory=kept)
                setting = "add_stem.retrained_head.learning_rates"
                fit.require_convergence(found, setting)
                trained = classifier.Classifier(name, network, found.head)
                classifier.save(trained, classes, settings.input_specification(side), folder)
                fit.write_history(found.training.epochs, folder)
                lines.append(fit.line(name, found))
                for metric in ("validation_accuracy", "validation_loss"):
                    record.metrics[f"{name}_{metric}"] = found.metrics[metric]
    kept.clear()
    return lines
