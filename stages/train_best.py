"""train_best: the head at the best learning rate, behind the frozen backbone: the baseline.

Reads:  embeddings/ (frames/ if features are not cached), manifest.parquet, tuning/best.json,
        block train_best of params.yaml
Writes: models/baseline/, records/train_best.json
Run:    python -m stemtune.run train_best
"""

from stemtune.core import params, terminal
from stemtune.core.paths import BASELINE, HISTORY_FILE, MANIFEST
from stemtune.core.records import Record
from stemtune.networks import reproducibility
from stemtune.store import manifest
from stemtune.training import tuned


def main(record: Record) -> list[str]:
    """Trains the head on features and stores it together with its backbone."""
    settings = params.load()
    reproducibility.configure(settings.runtime)
    from stemtune.networks import backbones, classifier
    from stemtune.training import features, fit, heads

    chosen, side = settings.train_best, settings.extract_frames.size
    classes = manifest.classes(manifest.read(MANIFEST))
    plan = heads.HeadPlan(
        name="baseline",
        head=chosen.head,
        classes=len(classes),
        seed=settings.runtime.seed,
        batch_size=chosen.batch_size,
        learning_rate=tuned.read().learning_rate,
        epochs=chosen.epochs,
    )
    flat = params.flat("train_best", chosen)
    flat |= {"learning_rate": plan.learning_rate, "side": side}
    with record.timed(flat):
        network = backbones.build_all(settings.embed_frames, settings.runtime.seed)
        data = features.load(settings, settings.embed_frames, side, chosen.head.views, network)
        with terminal.steps("train_best", plan.epochs, "epochs"):
            trained = heads.train(plan, data, "train_best", on_epoch=record.add)
        fit.require_convergence(trained, "tune_lr.learning_rates")
        baseline = classifier.Classifier("baseline", network, trained.head)
        classifier.save(baseline, classes, settings.input_specification(side), BASELINE)
        fit.write_history(trained.training.epochs, BASELINE)
        record.metrics = dict(trained.metrics)
        record.artifacts = [str(BASELINE / HISTORY_FILE)]
        return [fit.line("baseline", trained)]
