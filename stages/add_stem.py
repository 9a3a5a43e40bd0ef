"""add_stem: 528 parameters in front of a frozen backbone learn to make frames smaller.

The head behind the stem is frozen too: that of small frames, or the baseline's. The stem is trained
at each learning rate; the one with the highest validation accuracy is kept.

Reads:  frames/, manifest.parquet, models/baseline/, models/retrained/, block add_stem of
        params.yaml
Writes: models/stem/<variant>/, records/add_stem@<variant>.json
Run:    python -m stemtune.run add_stem@<variant>
"""

from functools import partial

from stemtune.core import errors, params, terminal
from stemtune.core.paths import HISTORY_FILE, MANIFEST, STEMS
from stemtune.core.records import Record
from stemtune.networks import engines
from stemtune.store import manifest


def main(record: Record, variant: str) -> list[str]:
    """Trains the stem of one variant and stores it together with what it was put in front of."""
    settings = params.load()
    add_stem = settings.add_stem
    if variant not in add_stem.variants:
        raise errors.InputError(
            f"unknown variant {variant!r}; params.yaml, add_stem.variants, has "
            f"{', '.join(add_stem.variants)}"
        )
    engine = engines.choose(settings.runtime)
    from stemtune.networks import classifier
    from stemtune.training import fit, progress, stems

    task, folder = stems.StemTask(variant, settings), STEMS / variant
    epochs = len(add_stem.learning_rates) * add_stem.epochs
    # Of this variant alone: an edit of another one reruns nothing here.
    used = add_stem.model_dump(exclude={"variants", "retrained_head"})
    flat = dict(params.leaves(used, "add_stem")) | {"head": add_stem.variants[variant].head}
    with record.timed(flat), terminal.steps(record.name, epochs, "epochs"):
        show = progress.shown_in(record, engine.spreads)
        tried = [*engine.map(partial(stems.train, task), add_stem.learning_rates, show)]
        best = stems.best(tried)
        setting = "add_stem.learning_rates"
        fit.require_convergence(best, setting)
        classes = manifest.classes(manifest.read(MANIFEST))
        takes = settings.input_specification(settings.extract_frames.size)
        classifier.save(stems.finished(task, best), classes, takes, folder)
        fit.write_history(best.training.epochs, folder)
        record.params["learning_rate"] = best.learning_rate
        record.epochs, record.metrics = [*best.training.epochs], dict(best.metrics)
        for note in stems.notes(tried, best, setting):
            record.note(note)
        record.artifacts = [str(folder / HISTORY_FILE)]
    return [fit.line(variant, best)]
