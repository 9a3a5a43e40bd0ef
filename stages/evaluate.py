"""evaluate: baseline, stems and two controls on the same test frames, beside the paper's numbers.

The controls are what one would do without a stem: `resize` shows the baseline frames of the side
that the stem puts out; `resize_retrained` also trains a new head on such frames. Where the
baseline was itself trained on small frames (train_best.trained_at), all three are one model, and
the stem shows what it costs to take full frames in.

Reads:  models/, embeddings/, frames/, manifest.parquet, tuning/, block evaluate of params.yaml
Writes: metrics/evaluate.json, plots/, report/index.html, records/evaluate.json
Run:    python -m stages.evaluate
"""

from typing import Any

import pandas as pd

from stemtune import comparison, errors, files, manifest, paper, params, records, report, runtime
from stemtune.paths import (
    BASELINE,
    BEST,
    EMBEDDINGS,
    FRAMES,
    MANIFEST,
    METRICS,
    PLOTS,
    REPORT,
    STEMS,
    TRIALS,
)


def main() -> None:
    """Scores every model on the test frames, once, and writes numbers, plots and the report."""
    settings = params.load()
    runtime.configure(settings.runtime)
    from stemtune import candidates, dataset, evaluation, models

    size, small, seed = settings.extract_frames.size, settings.small_side, settings.runtime.seed
    table = manifest.read(MANIFEST)
    classes = manifest.classes(table)
    frames = manifest.frame_table(table)
    test = frames[frames["split"] == manifest.TEST].reset_index(drop=True)
    trained = settings.trained_side
    at_trained, at_small = (
        dataset.load_embedded(EMBEDDINGS, settings.embed_frames.backbones, side, table)
        for side in (trained, small)
    )
    stored = dataset.FrameBatches(FRAMES, test, size, settings.add_stem.batch_size, seed=None)
    with records.recording("evaluate", params.flat("evaluate", settings.evaluate)) as record:
        baseline = models.load(BASELINE)
        rate = files.read_json(BEST)["learning_rate"]
        retrained, epochs = candidates.retrain_head(
            baseline, at_small, settings.train_best, rate, seed
        )
        head = baseline.get_layer("head").count_params()
        compared = {
            "baseline": candidates.on_features(baseline, at_trained.test, size, trained, head),
            "resize": candidates.on_features(baseline, at_small.test, size, small, 0),
            "resize_retrained": candidates.on_features(retrained, at_small.test, size, small, head),
        }
        for variant in settings.add_stem.variants:
            compared[variant] = candidates.on_frames(models.load(STEMS / variant), stored, size)
        entries: dict[str, dict[str, float]] = {}
        for name, candidate in compared.items():
            part = records.Record.start(name, {"input_size": candidate.input_size})
            entries[name] = (
                evaluation.scores(
                    candidate.probabilities, test, settings.evaluate.bootstrap_samples, seed
                )
                | candidate.counts()
            )
            part.metrics = entries[name] | {
                "ms_per_frame": models.milliseconds_per_frame(candidate.predict, size)
            }
            part.epochs = epochs if name == "resize_retrained" else []
            part.finish()
            record.parts.append(part)
            confusion = evaluation.confusion(candidate.probabilities, test, classes)
            files.write_csv(PLOTS / "confusion" / f"{name}.csv", confusion)
        metrics: dict[str, Any] = {name: entries[name] for name in comparison.CONTROLS}
        metrics["stem"] = {variant: entries[variant] for variant in settings.add_stem.variants}
        metrics["paper"] = paper.METRICS
        files.write_json(METRICS, metrics)
        histories = {"baseline": BASELINE} | {name: STEMS / name for name in metrics["stem"]}
        history = candidates.join_histories(histories)
        files.write_csv(PLOTS / "history.csv", history)
        files.write_text(
            REPORT, report.render(metrics, pd.read_csv(TRIALS), history, PLOTS / "confusion")
        )
        record.metrics = {
            f"{name}_test_accuracy": entry["test_accuracy"] for name, entry in entries.items()
        }
        record.artifacts = [str(METRICS), str(REPORT)]


if __name__ == "__main__":
    errors.run("evaluate", main)
