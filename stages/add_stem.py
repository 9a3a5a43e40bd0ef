"""add_stem: 528 parameters in front of a frozen backbone learn to make frames smaller.

The head behind the stem is the baseline's, frozen; or a new one, trained on what the trained stem
hands on; or a new one that is trained behind the untrained stem, and then along with it.

Reads:  frames/, embeddings/, manifest.parquet, models/baseline/, tuning/best.json,
        block add_stem of params.yaml
Writes: models/stem/<variant>/, records/add_stem@<variant>.json
Run:    python -m stages.add_stem <variant>
"""

import sys
from functools import partial

from stemtune.core import errors, params, records, stage
from stemtune.core.paths import BASELINE, MANIFEST, STEMS, UNFINISHED_SEARCH
from stemtune.engine import choice
from stemtune.networks import reproducibility
from stemtune.store import manifest
from stemtune.training import tuned


def main(variant: str) -> None:
    """Trains the stem of one variant and stores it together with what it was put in front of."""
    settings = params.load()
    add_stem = settings.add_stem
    if variant not in add_stem.variants:
        raise errors.InputError(
            f"unknown variant {variant!r}; params.yaml, add_stem.variants, has "
            f"{', '.join(add_stem.variants)}"
        )
    configure = partial(reproducibility.configure, settings.runtime, through_backbone=True)
    engine = choice.choose(settings.runtime.threads, configure)
    configure()
    from stemtune.networks import classifier
    from stemtune.training import search, stem_variants, trainer, trials

    chosen = add_stem.variants[variant]
    table, folder = manifest.read(MANIFEST), STEMS / variant
    record_params = params.flat("add_stem", add_stem) | {
        "start": chosen.start,
        "objective": chosen.objective,
        "head": chosen.head,
        "epochs": chosen.epochs or add_stem.epochs,
    }
    with records.recording(f"add_stem@{variant}", record_params) as record:
        found = stem_variants.train(
            classifier.load(BASELINE),
            variant,
            table,
            settings,
            chosen.attempts(tuned.read().learning_rate),
            lambda attempt: record.following(f"{variant} {attempt}", attempt.params),
            lambda trial: record.show(trials.record_of(trial)),
            engine,
        )
        takes = settings.input_specification(settings.extract_frames.size)
        classifier.save(found.classifier, manifest.classes(table), takes, folder)
        epochs = found.training.epochs
        trainer.write_history(epochs, folder)
        record.params["learning_rate"] = found.training.learning_rate
        record.epochs, record.metrics = [*epochs], dict(found.metrics)
        for child in record.children:
            # An attempt's ends with its last epoch; a trial's has its metrics.
            child.metrics = child.metrics or dict(child.epochs[-1].metrics)
        for note in found.notes:
            record.note(note)
        record.artifacts = [str(folder / trainer.HISTORY_FILE)]
    search.clear(UNFINISHED_SEARCH)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m stages.add_stem <variant>")
    stage.run(f"add_stem@{sys.argv[1]}", lambda: main(sys.argv[1]))
