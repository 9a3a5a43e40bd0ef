"""evaluate: all models on the same validation and test frames, beside the paper's numbers.

`resize` shows the baseline frames of other sides; `retrained` has a new head for such frames, which
is what one would do without a stem. Nothing is trained and nothing is drawn here.

Reads:  models/, embeddings/, embeddings_resized/, frames/, manifest.parquet, block evaluate of
        params.yaml
Writes: predictions/, metrics/evaluate.json, records/evaluate.json
Run:    python -m stages.evaluate
"""

from stemtune.core import params, records, stage, typed_json
from stemtune.core.paths import MANIFEST, METRICS, PREDICTIONS
from stemtune.evaluation import comparison, metrics, predictions, recommendation
from stemtune.networks import reproducibility
from stemtune.store import manifest


def main() -> None:
    """Has every model answer on validation and test frames, once, and scores the answers."""
    settings = params.load()
    reproducibility.configure(settings.runtime)
    from stemtune.evaluation import candidates

    samples, seed = settings.evaluate.bootstrap_samples, settings.runtime.seed
    frames = manifest.frame_table(manifest.read(MANIFEST))
    test = frames[frames["split"] == manifest.TEST].reset_index(drop=True)
    with records.recording("evaluate", params.flat("evaluate", settings.evaluate)) as record:
        entries, answers, flops, milliseconds, times = {}, {}, {}, {}, {}
        for each in candidates.load(settings, frames):
            predictions.write(PREDICTIONS, each.name, frames, each.probabilities)
            answers[each.name] = each.probabilities[manifest.TEST]
            if each.graph not in flops:
                flops[each.graph] = each.flops()
            measured = candidates.measure(each, frames, samples, seed, flops[each.graph])
            entries[each.name] = measured
            if manifest.VALIDATION in each.probabilities:
                child = record.child(each.name, {"input_size": each.side})
                if each.graph not in milliseconds:
                    milliseconds[each.graph] = each.milliseconds(settings.extract_frames.size)
                times[each.name] = milliseconds[each.graph]
                child.metrics = measured.values() | {"ms_per_frame": times[each.name]}
                child.finish()
        compared = comparison.of(entries)
        typed_json.write(METRICS, compared)

        def compare(first: str, second: str) -> metrics.Difference:
            return metrics.compare(answers[first], answers[second], test, samples, seed)

        advised = recommendation.recommend(compared, compare, settings.evaluate.acceptable_loss)
        record.note(advised.sentence(times))
        record.metrics = {
            f"{name}_test_accuracy": entry.test_accuracy for name, entry in compared.models.items()
        }
        record.artifacts = [str(METRICS)]


if __name__ == "__main__":
    stage.run("evaluate", main)
