"""evaluate: baseline, stems and two controls on the same test frames, beside the paper's numbers.

The controls are what one would do without a stem: `resize` shows the baseline frames of the side
that the stem puts out; `resize_retrained` also trains a new head on such frames. Where the
baseline was itself trained on small frames (train_best.trained_at), all three are one model, and
the stem shows what it costs to take full frames in. The baseline on frames of a few more sides is
the line that a stem has to lie above.

Reads:  models/, embeddings/, embeddings_resized/, frames/, manifest.parquet, tuning/, block
        evaluate of params.yaml
Writes: metrics/evaluate.json, plots/, report/index.html, records/evaluate.json
Run:    python -m stages.evaluate
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from stemtune import (
    architecture,
    comparison,
    files,
    manifest,
    paper,
    params,
    pictures,
    records,
    report,
    runtime,
    stage,
)
from stemtune.paths import (
    BASELINE,
    BEST,
    EMBEDDINGS,
    FRAMES,
    MANIFEST,
    METRICS,
    PLOTS,
    REPORT,
    RESIZED,
    STEMS,
    TRIALS,
)

if TYPE_CHECKING:
    from stemtune.candidates import Candidate


def main() -> None:
    """Scores every model on the test frames, once, and writes numbers, plots and the report."""
    settings = params.load()
    runtime.configure(settings.runtime)
    from stemtune import candidates, dataset, embeddings, evaluation, live, models

    size, small, seed = settings.extract_frames.size, settings.small_side, settings.runtime.seed
    names, samples = settings.embed_frames.backbones, settings.evaluate.bootstrap_samples
    table = manifest.read(MANIFEST)
    classes = manifest.classes(table)
    frames = manifest.frame_table(table)
    test = frames[frames["split"] == manifest.TEST].reset_index(drop=True)
    trained = settings.trained_side
    at_trained, at_small = (
        dataset.load_embedded(EMBEDDINGS, names, side, table) for side in (trained, small)
    )
    stored = dataset.FrameBatches(FRAMES, test, size, settings.add_stem.batch_size, seed=None)
    with records.recording("evaluate", params.flat("evaluate", settings.evaluate)) as record:
        baseline = models.load(BASELINE)
        rate, chosen = files.read_json(BEST)["learning_rate"], settings.train_best.head
        if not chosen.cached_features:
            network = baseline.get_layer("backbone")
            at_small = live.attach(at_small, network, FRAMES, table, (size, small), chosen)
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
        seen = dict.fromkeys(embeddings.sides(RESIZED, names), RESIZED)
        seen |= {small: EMBEDDINGS, size: EMBEDDINGS}
        resized = {
            side: candidates.on_features(
                baseline, dataset.load_features(seen[side], names, side, test), size, side, 0
            )
            for side in sorted(seen)
        }

        def entry(candidate: "Candidate") -> dict[str, float]:
            scores = evaluation.scores(candidate.probabilities, test, samples, seed)
            return scores | candidate.counts()

        entries: dict[str, dict[str, float]] = {}
        for name, candidate in compared.items():
            part = record.part(name, {"input_size": candidate.input_size})
            entries[name] = entry(candidate)
            part.metrics = entries[name] | {
                "ms_per_frame": models.milliseconds_per_frame(candidate.predict, size)
            }
            part.epochs = epochs if name == "resize_retrained" else []
            part.finish()
        metrics: dict[str, Any] = {name: entries[name] for name in comparison.CONTROLS}
        metrics["stem"] = {variant: entries[variant] for variant in settings.add_stem.variants}
        metrics["paper"] = paper.METRICS
        files.write_json(METRICS, metrics)
        write_report(
            report.Results(
                metrics=metrics,
                frames=frames,
                split_by=settings.extract_frames.split.by,
                trials=pd.read_csv(TRIALS),
                history=candidates.join_histories(
                    {"baseline": BASELINE} | {name: STEMS / name for name in metrics["stem"]}
                ),
                curve=pd.DataFrame(
                    [{"side": side, **entry(candidate)} for side, candidate in resized.items()]
                ),
                **tables(compared, test, classes, samples, seed),
                **insides(compared, settings, test, classes, small),
            )
        )
        record.metrics = {
            f"{name}_test_accuracy": found["test_accuracy"] for name, found in entries.items()
        }
        record.artifacts = [str(METRICS), str(REPORT)]


def tables(
    compared: Mapping[str, "Candidate"],
    test: pd.DataFrame,
    classes: list[str],
    samples: int,
    seed: int,
) -> dict[str, Any]:
    """Returns what the report shows of the answers on the test frames, by its names."""
    from stemtune import evaluation

    answers = {
        name: evaluation.confusion(candidate.probabilities, test, classes)
        for name, candidate in compared.items()
    }
    return {
        "answers": answers,
        "classes": stacked({name: evaluation.per_class(rows) for name, rows in answers.items()}),
        "calibration": stacked(
            {
                name: evaluation.calibration(candidate.probabilities, test)
                for name, candidate in compared.items()
            }
        ),
        "comparisons": pd.DataFrame(
            [
                {"stem": name, "other": control}
                | evaluation.compare(
                    candidate.probabilities, compared[control].probabilities, test, samples, seed
                )
                for name, candidate in compared.items()
                if name not in comparison.CONTROLS
                for control in comparison.CONTROLS
            ]
        ),
    }


def insides(
    compared: Mapping[str, "Candidate"],
    settings: params.Params,
    test: pd.DataFrame,
    classes: list[str],
    small: int,
) -> dict[str, Any]:
    """Returns what the report shows of the stems themselves, by its names."""
    from stemtune import candidates, dataset, stem

    size = settings.extract_frames.size
    chosen = pictures.choose(test)
    shown = test.iloc[chosen]
    (frames, _) = dataset.FrameBatches(FRAMES, shown, size, len(shown), seed=None)[0]
    seen = {"stored": frames, "resize": candidates.resized(frames, small)}
    kernels: dict[str, Any] = {}
    for variant, setting in settings.add_stem.variants.items():
        model = compared[variant].model
        seen[variant] = pictures.visible(candidates.handed_on(model, frames))
        learned = candidates.kernels(model.get_layer("stem"))
        start = candidates.kernels(
            stem.build(setting.start, settings.add_stem.stride, settings.runtime.seed)
        )
        change = [after - before for before, after in zip(start, learned, strict=True)]
        kernels[variant] = {"start": start, "learned": learned, "learned less start": change}
    answers = {name: candidate.probabilities[chosen] for name, candidate in compared.items()}
    return {
        "architectures": {
            variant: architecture.describe(compared[variant].model, size) for variant in kernels
        },
        "kernels": kernels,
        "examples": [
            pictures.Example(
                clip,
                actual,
                {name: made[number] for name, made in seen.items()},
                {name: classes[given[number].argmax()] for name, given in answers.items()},
            )
            for number, (clip, actual) in enumerate(zip(shown["clip"], shown["class"], strict=True))
        ],
    }


def write_report(results: report.Results) -> None:
    """Writes tables and figures into plots/, and the page that shows them all."""
    drawn = report.draw(results)
    files.write_csv(PLOTS / "classes.csv", results.classes)
    files.write_csv(PLOTS / "calibration.csv", results.calibration)
    files.write_csv(PLOTS / "comparisons.csv", results.comparisons)
    files.write_csv(PLOTS / "resize.csv", results.curve)
    for name, history in results.history.groupby("model"):
        files.write_csv(PLOTS / "history" / f"{name}.csv", history.drop(columns="model"))
    for name, answers in results.answers.items():
        files.write_csv(PLOTS / "confusion" / f"{name}.csv", answers)
    for name, svg in drawn.items():
        files.write_text(PLOTS / "figures" / f"{name}.svg", svg)
    files.write_text(REPORT, report.render(results, drawn))


def stacked(by_model: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Returns the tables of several models as one with a column `model`."""
    return pd.concat(
        [table.assign(model=name) for name, table in by_model.items()], ignore_index=True
    )


if __name__ == "__main__":
    stage.run("evaluate", main)
