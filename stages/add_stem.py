"""add_stem: 528 parameters in front of a frozen backbone learn to make frames smaller.

The head behind the stem is frozen: that of small frames, or the baseline's. Or it is a new one,
trained on the output of the trained stem, or behind the untrained stem and then along with it.

Reads:  frames/, embeddings/, manifest.parquet, models/baseline/, models/retrained/,
        tuning/best.json, block add_stem of params.yaml
Writes: models/stem/<variant>/, records/add_stem@<variant>.json
Run:    python -m stemtune.run add_stem@<variant>
"""

from functools import partial

from stemtune.core import errors, params
from stemtune.core.paths import HISTORY_FILE, MANIFEST, STEMS
from stemtune.core.records import Record
from stemtune.engine import choice
from stemtune.networks import reproducibility
from stemtune.store import manifest
from stemtune.training import tuned


def main(record: Record, variant: str) -> None:
    """Trains the stem of one variant and stores it together with what it was put in front of."""
    settings = params.load()
    add_stem = settings.add_stem
    if variant not in add_stem.variants:
        raise errors.InputError(
            f"unknown variant {variant!r}; params.yaml, add_stem.variants, has "
            f"{', '.join(add_stem.variants)}"
        )
    configure = partial(reproducibility.configure, settings.runtime)
    engine = choice.choose(settings.runtime.threads, configure)
    configure()
    from stemtune.networks import classifier
    from stemtune.training import fit, stem_search, stems

    task, folder = stems.StemTask(variant, settings), STEMS / variant
    chosen = task.chosen
    record_params = params.flat("add_stem", add_stem) | {
        "start": chosen.start,
        "objective": chosen.objective,
        "head": chosen.head,
        "epochs": chosen.epochs or add_stem.epochs,
    }
    with record.timed(record_params):
        stems.prepare(task, record.show)
        attempts = chosen.attempts(tuned.read().learning_rate)
        train = partial(stems.train_variant, task)
        if engine.spreads:
            # Each rate is tried, so all attempts begin at once; records cannot be shown from there.
            trained = dict(zip(attempts, engine.map(train, attempts), strict=True))
            tried = stem_search.search(task, attempts, trained.__getitem__)
        else:
            tried = stem_search.search(task, attempts, partial(train, tell=record.show))
        for child in (child for each in tried for child in each.records):
            record.show(child)
        best = stem_search.best(tried)
        setting = f"add_stem.variants.{variant}"
        fit.require_convergence(best, f"{setting}.learning_rates")
        classes = manifest.classes(manifest.read(MANIFEST))
        takes = settings.input_specification(settings.extract_frames.size)
        classifier.save(stems.finished(task, best), classes, takes, folder)
        fit.write_history(best.training.epochs, folder)
        record.params["learning_rate"] = best.learning_rate
        record.epochs, record.metrics = [*best.training.epochs], dict(best.metrics)
        for note in stems.notes(tried, best, setting):
            record.note(note)
        record.artifacts = [str(folder / HISTORY_FILE)]
    task.kept.clear()
