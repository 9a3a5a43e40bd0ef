"""evaluate: baseline, stems and two controls on the same test frames, beside the paper's numbers.

The controls are what one would do without a stem: `resize` shows the baseline frames of the side
that the stem hands on; `resize_retrained` also trains a new head on such frames, and
`resize_retrained_equal_cost` one on frames that cost as much as the stem's model does. The baseline
on frames of a few more sides is the line that a stem has to lie above.

Reads:  models/, embeddings/, embeddings_augmented/, embeddings_resized/, frames/,
        manifest.parquet, tuning/, block evaluate of params.yaml
Writes: models/resize_retrained/, metrics/evaluate.json, plots/, report/,
        records/evaluate.json
Run:    python -m stages.evaluate
"""

from functools import partial

import pandas as pd

from stemtune.core import params, records, stage, typed_json
from stemtune.core.paths import (
    MANIFEST,
    METRICS,
    MISTAKES,
    REPORT,
    RETRAINED,
    TRIALS,
    UNFINISHED_SEARCH,
)
from stemtune.evaluation import comparison, leftovers, recommendation, report
from stemtune.networks import reproducibility
from stemtune.store import manifest


def main() -> None:
    """Scores every model on the test frames, once, and writes numbers, plots and the report."""
    settings = params.load()
    leftovers.remove(settings.add_stem.variants, "evaluate")
    reproducibility.configure(settings.runtime)
    from stemtune.evaluation import evaluated_models, findings, scoring
    from stemtune.networks import classifier
    from stemtune.training import search

    evaluate, seed = settings.evaluate, settings.runtime.seed
    table, trials = manifest.read(MANIFEST), pd.read_csv(TRIALS)
    frames = manifest.frame_table(table)
    test = frames[frames["split"] == manifest.TEST].reset_index(drop=True)
    scorer = scoring.Scorer(test, manifest.classes(table), evaluate.bootstrap_samples, seed)
    with records.recording("evaluate", params.flat("evaluate", evaluate)) as record:
        found = evaluated_models.load(settings, table)
        entries, milliseconds = {}, {}
        for name, model in found.compared.items():
            child = record.child(name, {"input_size": model.input_size})
            entries[name] = scorer.entry(model)
            milliseconds[name] = model.milliseconds_per_frame(settings.extract_frames.size)
            child.metrics = entries[name].values() | {"ms_per_frame": milliseconds[name]}
            child.epochs = [*model.epochs]
            child.finish()
        retrained = found.compared[comparison.RETRAINED].classifier
        takes = settings.input_specification(settings.small_side)
        classifier.save(retrained, scorer.classes, takes, RETRAINED)
        compared = comparison.of(entries)
        compare = partial(scorer.compare, found.compared)
        advised = recommendation.recommend(compared, compare, evaluate.acceptable_loss)
        typed_json.write(METRICS, compared)
        report.write(findings.collect(settings, frames, trials, scorer, found, compared, advised))
        findings.write_mistakes(settings, scorer, found, advised.stem)
        record.note(advised.sentence(milliseconds))
        record.metrics = {
            f"{name}_test_accuracy": entry.test_accuracy for name, entry in entries.items()
        }
        record.artifacts = [str(METRICS), str(REPORT), str(MISTAKES)]
    search.clear(UNFINISHED_SEARCH)


if __name__ == "__main__":
    stage.run("evaluate", main)
