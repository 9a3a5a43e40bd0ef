"""export: baseline, a new head for small frames, and the best stem as files for devices.

A file takes one frame, uint8 or int8, of the side that its classifier sees.

Reads:  models/, frames/, manifest.parquet, metrics/evaluate.json, blocks export and evaluate of
        params.yaml
Writes: exports/, metrics/export.json, metrics/latency.json, records/exports.html,
        records/export.json
Run:    python -m stages.export
"""

from functools import partial

from stemtune.core import files, params, paths, records, stage, typed_json
from stemtune.core.params import Params
from stemtune.core.records import Record
from stemtune.engine import choice
from stemtune.engine.engine import Engine
from stemtune.evaluation import comparison
from stemtune.export.exports import Export, Exports
from stemtune.networks import reproducibility
from stemtune.serving import timing


def main() -> None:
    """Writes, judges and times the files, and shows what they are worth."""
    settings = params.load()
    configure = partial(reproducibility.configure, settings.runtime)
    engine = choice.choose(settings.runtime.threads, configure)
    paths.EXPORTS.mkdir(exist_ok=True)
    with records.recording("export", params.flat("export", settings.export)) as record:
        exports = Exports(exports={})
        if settings.export.models:
            configure()
            exports = Exports(exports=export(settings, record, engine))
        typed_json.write(paths.EXPORT_METRICS, exports)
        timed = timing.measure([paths.EXPORTS / f"{name}.tflite" for name in exports.exports])
        files.write_json(paths.LATENCY, timed.content())
        for child in record.children:
            child.metrics |= timed.prices[f"{child.name}.tflite"].numbers()
        if timed.note:
            record.note(timed.note)
        from stemtune.report import exports_page

        exports_page.write(paths.EXPORT_PAGE, exports, record.children)
        record.artifacts = [str(paths.EXPORT_METRICS), str(paths.LATENCY), str(paths.EXPORT_PAGE)]


def export(settings: Params, record: Record, engine: Engine) -> dict[str, Export]:
    """Writes each model at each precision, and returns what each file is worth, by its name."""
    from stemtune.export import conversion, judging
    from stemtune.networks import classifier

    compared = typed_json.read(paths.METRICS, comparison.Comparison)
    folders = {
        comparison.BASELINE: paths.BASELINE,
        comparison.RETRAINED: paths.RETRAINED / str(settings.small_side),
        comparison.STEM: paths.STEMS / compared.best_stem(),
    }
    judge, found = judging.Judge.of(settings, engine), {}
    for folder in (folders[model] for model in settings.export.models):
        model, takes = judging.stored(folder), classifier.specification(folder)
        expected = judge.answers(partial(judging.predictor, folder, takes.side))
        calibration = judge.calibration(takes.side, settings.export.calibration_frames)
        for precision in conversion.PRECISIONS:
            name = f"{model.name}_{precision}"
            settled = {"model": model.name, "precision": precision, "input_size": takes.side}
            child = record.child(name, settled)
            path = conversion.write(model, folder, precision, calibration, paths.EXPORTS)
            found[name] = judge.judge(path, model.name, precision, expected)
            child.metrics = found[name].numbers()
            child.artifacts = [str(path)]
            child.finish()
    return found


if __name__ == "__main__":
    stage.run("export", main)
