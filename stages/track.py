"""track: shows this pipeline run in MLflow, cached stages included, and prints the candidates.

It always runs and no stage depends on it. metrics/timings.json, which it writes, is a view of the
run records: times differ from run to run, so nothing else may depend on them.

Reads:  records/, metrics/, report/, plots/, models/, exports/, dvc.lock, block track of params.yaml
Writes: metrics/timings.json, and runs in the MLflow store
Run:    python -m stemtune.run track
"""

import gc
from dataclasses import asdict

import psutil

from stemtune.core import all_params, dvc, files, leftovers, records, typed_json
from stemtune.core.paths import EXPORT_METRICS, METRICS, RECOMMENDATION, TIMINGS
from stemtune.evaluation import advice, comparison, listed
from stemtune.export.exports import Exports
from stemtune.tracking import closing, dvc_lock, publishing, summary


def main() -> None:
    """Publishes the records of all stages, then prints the candidates and links."""
    # Looking for garbage takes a fifth of the time, and finds none.
    gc.disable()
    settings = all_params.load()
    if settings.track.enabled:
        publishing.begin()
    leftovers.remove(settings.add_stem.variants, "track", in_lock=True)
    recorded = [records.read(records.path_of(name)) for name in dvc_lock.stages(settings)]
    files.write_json(TIMINGS, asdict(summary.timings(recorded)))
    compared = typed_json.read(METRICS, comparison.Comparison)
    exported = typed_json.read(EXPORT_METRICS, Exports)
    advised = advice.read(RECOMMENDATION)
    rows = comparison.rows(compared)
    if settings.track.enabled:
        publishing.publish(settings, recorded, rows, exported, advised)
    # Stages that ran just now have printed their notes.
    since = dvc.owner(psutil.Process()).create_time()
    print(closing.closing(listed.read(), recorded, advised, since))
