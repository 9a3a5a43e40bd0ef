"""export: classifiers as files for devices, judged, timed side by side, and joined in cascades.

A file takes one frame, uint8 or int8, of the side that its classifier sees. A cascade is a JSON
file beside two of them: it names both, and the confidence up to which the second one is asked.

Reads:  models/, frames/, manifest.parquet, predictions/, metrics/evaluate.json, blocks export and
        compare of params.yaml
Writes: exports/, predictions_exported/, metrics/export.json, metrics/latency.json,
        records/export.json
Run:    python -m stemtune.run export
"""

from functools import partial

from stemtune.core import files, params, paths, terminal, typed_json
from stemtune.core.params import Params
from stemtune.core.records import Record
from stemtune.engine.engine import Engine
from stemtune.evaluation import comparison
from stemtune.export import exports
from stemtune.export.exports import Export, Exports
from stemtune.networks import engines
from stemtune.serving import timing
from stemtune.store import manifest


def main(record: Record) -> list[str]:
    """Writes, judges and times the files; returns their accuracy and times, a line for a model."""
    settings = params.load()
    for folder in (paths.EXPORTS, paths.EXPORTED):
        folder.mkdir(exist_ok=True)
    with record.timed(params.flat("export", settings.export)):
        found = Exports(exports={})
        if settings.export.models:
            engine = engines.choose(settings.runtime)
            found = Exports(exports=export(settings, record, engine))
        typed_json.write(paths.EXPORT_METRICS, found)
        timed = timing.measure([paths.EXPORTS / f"{name}.tflite" for name in found.exports])
        files.write_json(paths.LATENCY, timed.content())
        for child in record.children:
            child.metrics |= timed.prices[f"{child.name}.tflite"].numbers()
        if timed.note:
            record.note(timed.note)
        record.artifacts = [str(paths.EXPORT_METRICS), str(paths.LATENCY)]
    return exports.lines(found, record.children)


def export(settings: Params, record: Record, engine: Engine) -> dict[str, Export]:
    """Writes each model at each precision, and returns how accurate each file is, by its name."""
    from stemtune.export import joining, making

    compared = typed_json.read(paths.METRICS, comparison.Comparison)
    wanted = exports.wanted(compared, settings.export.models, settings.small_side)
    tasks = [making.FileTask(name, each) for name, every in wanted.items() for each in every]
    make = partial(making.make, settings, engine.workers)
    found = {}
    with terminal.steps("export", len(tasks), "files"):
        for task, made in zip(tasks, engine.map(make, tasks, record.show), strict=True):
            found[task.name] = made
            terminal.move()
    frames = manifest.frame_table(manifest.read(paths.MANIFEST))
    joining.write_cascades(settings, compared, frames, found)
    return found
