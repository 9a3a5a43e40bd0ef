"""add_stem: 528 parameters in front of the frozen baseline learn to make frames smaller.

Reads:  frames/, embeddings/, manifest.parquet, models/baseline/, tuning/best.json,
        block add_stem of params.yaml
Writes: models/stem/<variant>/, records/add_stem@<variant>.json
Run:    python -m stages.add_stem <variant>
"""

import sys

from stemtune import files, manifest, params, records, runtime
from stemtune.paths import BASELINE, BEST, EMBEDDINGS, FRAMES, MANIFEST, STEMS


def main(variant: str) -> None:
    """Trains the stem of one variant and stores it together with what it was put in front of."""
    settings = params.load()
    if variant not in settings.add_stem.variants:
        raise SystemExit(
            f"add_stem: unknown variant {variant!r}; params.yaml, add_stem.variants, has "
            f"{', '.join(settings.add_stem.variants)}"
        )
    runtime.configure(settings.runtime)
    from stemtune import dataset, models, stem, stem_training, training

    add_stem, seed = settings.add_stem, settings.runtime.seed
    chosen = add_stem.variants[variant]
    rate = chosen.learning_rate or add_stem.learning_rate or files.read_json(BEST)["learning_rate"]
    epochs = chosen.epochs or add_stem.epochs
    table = manifest.read(MANIFEST)
    frames = manifest.frame_table(table)
    stage = f"add_stem@{variant}"
    record_params = params.flat("add_stem", add_stem) | {
        "start": chosen.start,
        "objective": chosen.objective,
        "learning_rate": rate,
        "epochs": epochs,
    }
    with records.recording(stage, record_params) as record:
        baseline = models.load(BASELINE)
        head = baseline.get_layer("head")
        known = dataset.load_embedded(
            EMBEDDINGS, settings.embed_frames.backbones, settings.trained_side, table
        )
        train, validation = (
            dataset.FrameBatches(
                FRAMES,
                frames[frames["split"] == split],
                settings.extract_frames.size,
                add_stem.batch_size,
                order_seed,
                stem_training.teacher_outputs(head, embedded.features, chosen.objective),
            )
            for split, embedded, order_seed in (
                (manifest.TRAIN, known.train, seed),
                (manifest.VALIDATION, known.validation, None),
            )
        )
        model = models.assemble(
            variant,
            baseline.get_layer("backbone"),
            head,
            stem.build(chosen.start, add_stem.stride),
        )
        record.epochs = stem_training.train(
            model, chosen.objective, train, validation, rate, epochs, stage
        )
        folder = STEMS / variant
        models.save(model, manifest.classes(table), folder)
        training.write_history(record.epochs, folder)
        record.metrics = record.epochs[-1].metrics
        record.artifacts = [str(folder / training.HISTORY_FILE)]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m stages.add_stem <variant>")
    main(sys.argv[1])
