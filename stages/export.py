"""export: baseline, resize_retrained and the best stem as files for devices, each of them judged.

A file takes one frame, uint8, of the side that its classifier sees: resize_retrained small ones.

Reads:  models/, frames/, manifest.parquet, metrics/evaluate.json, blocks export and evaluate of
        params.yaml
Writes: exports/, metrics/export.json, records/exports.html, records/export.json
Run:    python -m stages.export
"""

from stemtune.core import params, records, stage, typed_json
from stemtune.core.params import Params
from stemtune.core.paths import (
    BASELINE,
    EXPORT_METRICS,
    EXPORT_PAGE,
    EXPORTS,
    METRICS,
    RETRAINED,
    STEMS,
)
from stemtune.core.records import Record
from stemtune.evaluation import comparison
from stemtune.export.exports import Export, Exports
from stemtune.networks import reproducibility


def main() -> None:
    """Writes and judges the files, and shows what they are worth."""
    settings = params.load()
    EXPORTS.mkdir(exist_ok=True)
    with records.recording("export", params.flat("export", settings.export)) as record:
        exports = Exports(exports=export(settings, record) if settings.export.models else {})
        typed_json.write(EXPORT_METRICS, exports)
        from stemtune.export import page

        page.write(EXPORT_PAGE, exports, record.children)
        record.artifacts = [str(EXPORT_METRICS), str(EXPORT_PAGE)]


def export(settings: Params, record: Record) -> dict[str, Export]:
    """Writes each model at each precision, and returns what each file is worth, by its name."""
    reproducibility.configure(settings.runtime)
    from stemtune.export import conversion, judging
    from stemtune.networks import classifier

    compared = typed_json.read(METRICS, comparison.Comparison)
    stem = compared.best_on_validation(compared.stem)
    folders = {
        comparison.BASELINE: BASELINE,
        comparison.RETRAINED: RETRAINED,
        comparison.STEM: STEMS / stem,
    }
    judge, found = judging.Judge.of(settings), {}
    for folder in (folders[model] for model in settings.export.models):
        model, takes = classifier.load(folder), classifier.specification(folder)
        expected = judge.answers(model.predictor(takes.side))
        calibration = judge.calibration(takes.side)
        for precision in conversion.PRECISIONS:
            name = f"{model.name}_{precision}"
            settled = {"model": model.name, "precision": precision, "input_size": takes.side}
            child = record.child(name, settled)
            path = conversion.write(model, folder, precision, calibration, EXPORTS)
            found[name] = judge.judge(path, model.name, precision, expected)
            child.metrics = found[name].numbers() | judging.times(path, settings.runtime.threads)
            child.artifacts = [str(path)]
            child.finish()
    return found


if __name__ == "__main__":
    stage.run("export", main)
