"""evaluate: all models on the same validation and test frames, beside the paper's numbers.

`resize` shows the baseline frames of other sides; `retrained` has a new head for such frames, which
is what one would do without a stem. Nothing is trained and nothing is drawn here.

Reads:  models/, embeddings/, embeddings_resized/, frames/, manifest.parquet, block evaluate of
        params.yaml
Writes: predictions/, metrics/evaluate.json, records/evaluate.json
Run:    python -m stages.evaluate
"""

from functools import partial

from stemtune.core import leftovers, params, records, stage, typed_json
from stemtune.core.paths import MANIFEST, METRICS, PREDICTIONS
from stemtune.evaluation import comparison, metrics, predictions, recommendation
from stemtune.networks import reproducibility
from stemtune.store import manifest


def main() -> None:
    """Has every model answer on validation and test frames, once, and scores the answers."""
    settings = params.load()
    leftovers.remove(settings.add_stem.variants, "evaluate")
    reproducibility.configure(settings.runtime)
    from stemtune.evaluation import candidates

    evaluate, seed = settings.evaluate, settings.runtime.seed
    table = manifest.read(MANIFEST)
    frames = manifest.frame_table(table)
    with records.recording("evaluate", params.flat("evaluate", evaluate)) as record:
        entries, flops, milliseconds = {}, {}, {}
        for each in candidates.load(settings, table):
            predictions.write(PREDICTIONS, each.name, frames, each.probabilities)
            # Models that differ in their head alone run one graph.
            if each.graph not in flops:
                flops[each.graph] = candidates.flops(each)
            measured = candidates.measure(
                each, frames, evaluate.bootstrap_samples, seed, flops[each.graph]
            )
            entries[each.name] = measured
            if manifest.VALIDATION not in each.probabilities:
                continue
            child = record.child(each.name, {"input_size": each.side})
            if each.graph not in milliseconds:
                milliseconds[each.graph] = candidates.milliseconds(
                    each, settings.extract_frames.size
                )
            child.metrics = measured.values() | {"ms_per_frame": milliseconds[each.graph]}
            child.finish()
        compared = comparison.of(entries)
        typed_json.write(METRICS, compared)
        test = frames[frames["split"] == manifest.TEST].reset_index(drop=True)
        compare = partial(
            metrics.difference,
            predictions.read(PREDICTIONS, manifest.TEST),
            test,
            evaluate.bootstrap_samples,
            seed,
        )
        advised = recommendation.recommend(compared, compare, evaluate.acceptable_loss)
        times = {child.name: child.metrics["ms_per_frame"] for child in record.children}
        record.note(advised.sentence(times))
        record.metrics = {
            f"{name}_test_accuracy": entry.test_accuracy for name, entry in compared.models.items()
        }
        record.artifacts = [str(METRICS)]


if __name__ == "__main__":
    stage.run("evaluate", main)
