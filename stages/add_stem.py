"""add_stem: 528 parameters in front of the frozen baseline learn to make frames smaller.

Reads:  frames/, embeddings/, manifest.parquet, models/baseline/, tuning/best.json,
        block add_stem of params.yaml
Writes: models/stem/<variant>/, records/add_stem@<variant>.json
Run:    python -m stages.add_stem <variant>
"""

import sys

from stemtune import errors, files, manifest, params, records, runtime, stage
from stemtune.paths import BASELINE, BEST, EMBEDDINGS, FRAMES, MANIFEST, STEMS


def main(variant: str) -> None:
    """Trains the stem of one variant and stores it together with what it was put in front of."""
    settings = params.load()
    if variant not in settings.add_stem.variants:
        raise errors.InputError(
            f"unknown variant {variant!r}; params.yaml, add_stem.variants, has "
            f"{', '.join(settings.add_stem.variants)}"
        )
    runtime.configure(settings.runtime, through_backbone=True)
    from stemtune import dataset, heads, models, stem, stem_training, training

    add_stem, seed = settings.add_stem, settings.runtime.seed
    chosen = add_stem.variants[variant]
    common_rate = add_stem.learning_rate or files.read_json(BEST)["learning_rate"]
    rates, epochs = chosen.learning_rates or [common_rate], chosen.epochs or add_stem.epochs
    table = manifest.read(MANIFEST)
    frames = manifest.frame_table(table)
    size = settings.extract_frames.size
    trained_on = models.TrainedOn(settings.extract_frames.frames_per_clip, size, size)
    name = f"add_stem@{variant}"
    record_params = params.flat("add_stem", add_stem) | {
        "start": chosen.start,
        "objective": chosen.objective,
        "epochs": epochs,
    }
    with records.recording(name, record_params) as record:
        baseline = models.load(BASELINE)
        backbone, head = baseline.get_layer("backbone"), baseline.get_layer("head")
        known = dataset.load_embedded(
            EMBEDDINGS, settings.embed_frames.backbones, settings.trained_side, table
        )
        stem_layers = stem.build(chosen.start, add_stem.stride, seed)
        model = models.assemble(variant, backbone, head, stem_layers)
        taught = chosen.objective != "labels"
        trainer = stem_training.StemTrainer(model, size, taught)
        start, attempts = stem_layers.get_weights(), []
        for rate in rates:
            alone = len(rates) == 1
            attempt = record if alone else record.part(f"{variant} at {rate:g}", {})
            attempt.params["learning_rate"] = rate
            train, validation = (
                dataset.FrameBatches(
                    FRAMES,
                    frames[frames["split"] == split],
                    size,
                    add_stem.batch_size,
                    order_seed,
                    heads.predict(head, seen.features) if taught else None,
                )
                for split, seen, order_seed in (
                    (manifest.TRAIN, known.train, seed),
                    (manifest.VALIDATION, known.validation, None),
                )
            )
            stem_layers.set_weights(start)
            title = f"{name} at {rate:g}"
            trainer.train(train, validation, rate, epochs, title, attempt.add)
            attempt.metrics = dict(attempt.epochs[-1].metrics)
            if not alone:
                attempt.finish()
            attempts.append((attempt, stem_layers.get_weights()))
        best, weights = min(attempts, key=lambda attempt: records.preference(attempt[0]))
        stem_layers.set_weights(weights)
        folder = STEMS / variant
        models.save(model, manifest.classes(table), trained_on, folder)
        training.write_history(best.epochs, folder)
        record.params |= best.params
        record.epochs, record.metrics = best.epochs, best.metrics
        record.artifacts = [str(folder / training.HISTORY_FILE)]
        if len(attempts) > 1:
            print(f"{name}: validates best at learning rate {best.params['learning_rate']:g}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m stages.add_stem <variant>")
    stage.run(f"add_stem@{sys.argv[1]}", lambda: main(sys.argv[1]))
