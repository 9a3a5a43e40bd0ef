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

from functools import partial
from itertools import groupby, islice
from operator import attrgetter

from stemtune.core import params, results, terminal
from stemtune.core.paths import MANIFEST, RETRAINED
from stemtune.core.records import Record
from stemtune.networks import engines
from stemtune.store import manifest


def main(record: Record) -> list[str]:
    """Trains and stores a head for each side of frames; returns a line for each."""
    settings = params.load()
    engine = engines.choose(settings.runtime)
    from stemtune.networks import backbones, classifier
    from stemtune.training import elsewhere, features, fit, heads, progress
    from stemtune.training.kept import Kept

    classes, kept = manifest.classes(manifest.read(MANIFEST)), Kept("train_resized")
    chosen, lines, tasks, networks = settings.add_stem.retrained_head, [], [], {}
    for embed, wanted in groupby(settings.retrained, key=attrgetter("embed")):
        # First: Keras numbers layers, and a model's bytes would tell what else was built here.
        network = backbones.build_all(embed, settings.runtime.seed)
        for key, _, side in wanted:
            networks[key] = network
            load = partial(features.load, settings, embed, side, chosen.views)
            plans = heads.plans(settings, len(classes), f"retrained_{key}, ")
            tasks += [elsewhere.HeadTask(plan, load) for plan in plans]
    flat = params.flat("add_stem.retrained_head", chosen)
    with record.timed(flat), terminal.steps("train_resized", len(tasks) * chosen.epochs, "epochs"):
        train = partial(elsewhere.train, "train_resized", kept)
        show = progress.shown_in(record, engine.spreads)
        trained = engine.map(train, tasks, show)
        for key, _, side in settings.retrained:
            name, folder = f"retrained_{key}", RETRAINED / key
            tried = [*islice(trained, len(chosen.learning_rates))]
            best = min(tried, key=results.by_loss)
            fit.require_convergence(best, "add_stem.retrained_head.learning_rates")
            found = classifier.Classifier(name, networks[key], best.head)
            classifier.save(found, classes, settings.input_specification(side), folder)
            fit.write_history(best.training.epochs, folder)
            lines.append(fit.line(name, best))
            for metric in ("validation_accuracy", "validation_loss"):
                record.metrics[f"{name}_{metric}"] = best.metrics[metric]
    kept.clear()
    return lines
