"""evaluate: all models on the same validation and test frames, beside the paper's numbers.

`resize` shows the baseline smaller frames; `retrained` has a new head for frames of each side,
which is what one would do without a stem. Nothing is trained and nothing is drawn here.

Reads:  models/, embeddings/, frames/, manifest.parquet, block compare of params.yaml
Writes: predictions/, metrics/evaluate.json, records/evaluate.json
Run:    python -m stemtune.run evaluate
"""

from stemtune.core import params, terminal, typed_json
from stemtune.core.paths import MANIFEST, METRICS, PREDICTIONS
from stemtune.core.records import Record
from stemtune.evaluation import comparison, predictions
from stemtune.networks import engines
from stemtune.store import manifest


def main(record: Record) -> list[str]:
    """Runs every model on validation and test frames, once, and scores the answers."""
    settings = params.load()
    engine = engines.choose(settings.runtime)
    from stemtune.evaluation import candidates

    samples, seed = settings.compare.bootstrap_samples, settings.runtime.seed
    frames = manifest.frame_table(manifest.read(MANIFEST))
    models = 2 + len(settings.retrained) + len(settings.add_stem.variants)
    flat = params.flat("compare", settings.compare)
    with record.timed(flat), terminal.steps("evaluate", models, "models"):
        entries, flops = {}, {}
        for each in candidates.load(settings, frames, engine):
            child = record.child(each.name, {"input_size": each.side})
            predictions.write(PREDICTIONS, each.name, frames, each.probabilities)
            if each.graph not in flops:
                flops[each.graph] = each.flops()
            measured = candidates.measure(each, frames, samples, seed, flops[each.graph])
            entries[each.name] = measured
            child.metrics = measured.values()
            child.finish()
            terminal.move()
        compared = comparison.of(entries)
        typed_json.write(METRICS, compared)
        record.metrics = {
            f"{name}_test_accuracy": entry.test_accuracy for name, entry in compared.models.items()
        }
        record.artifacts = [str(METRICS)]
        counts = frames["split"].value_counts()
        return [
            f"{len(entries)} models answered on {counts[manifest.VALIDATION]} validation and "
            f"{counts[manifest.TEST]} test frames"
        ]
