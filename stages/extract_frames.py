"""extract_frames: clips in data/ → frames, one shard per clip, and the manifest.

Reads:  data/, block extract_frames of params.yaml
Writes: frames/, manifest.parquet, metrics/extract_frames.json, records/extract_frames.json,
        records/data_docs.html
Run:    python -m stemtune.run extract_frames
        python -m stages.extract_frames --part 2/4: the frames of a part of the clips, alone
"""

import sys
import time

from stemtune.core import params, typed_json
from stemtune.core.paths import (
    DATA,
    DATA_DOCS,
    EXTRACT_METRICS,
    FRAMES,
    MANIFEST,
    UNFINISHED_EXTRACTION,
)
from stemtune.core.records import Record
from stemtune.engine import choice
from stemtune.ingest import (
    clips,
    data_docs,
    expectations,
    extraction,
    groups,
    ingest_summary,
    measurements,
    parts,
    splits,
)
from stemtune.networks import weights
from stemtune.store import manifest


def main(record: Record) -> None:
    """Samples frames of every clip, reusing the shards of clips that did not change."""
    settings = params.load()
    extract, threads = settings.extract_frames, settings.runtime.threads
    engine = choice.choose(threads)
    # Missing weights should stop the pipeline now, not after an hour of decoding.
    weights.fetch_all(settings.compared_backbones)
    with record.timed(params.flat("extract_frames", extract)):
        found = clips.find(DATA, extract, threads)
        empty = clips.empty_folders(DATA, found, depth=2 if extract.split.folders else 1)
        group_table = groups.read_table(DATA / clips.GROUPS_FILE)
        given = splits.given(found, DATA, extract.split)
        before = manifest.read(MANIFEST) if MANIFEST.exists() else None
        started = time.perf_counter()
        extracted = extraction.extract_all(
            found,
            FRAMES,
            measurements.of_manifest(before),
            extract,
            engine,
            UNFINISHED_EXTRACTION,
        )
        seconds = time.perf_counter() - started
        table = extraction.make_manifest(found, extracted.outcomes, group_table, given, extract)
        manifest.write(table, MANIFEST)
        decoded, contents = len(extracted.decoded), len(extracted.outcomes)
        # Before all that may fail: why clips were left out is often why it does.
        print(ingest_summary.summary(table, before, decoded, contents, empty), flush=True)
        validation = expectations.check(table, extract)
        data_docs.write(validation, DATA_DOCS)
        intake = ingest_summary.intake(table, validation.results)
        typed_json.write(EXTRACT_METRICS, intake)
        record.metrics = intake.numbers() | {"clips_decoded": decoded}
        if decoded:
            new = table[table["shard"].isin(extracted.decoded)]
            frames = new.drop_duplicates("shard")["frame_seconds"].map(len).sum()
            record.metrics["frames_per_second"] = float(frames / seconds)
        record.artifacts = [str(DATA_DOCS)]
        expectations.require(validation.results, str(DATA_DOCS))


if __name__ == "__main__":
    if not parts.run(sys.argv[1:]):
        raise SystemExit("usage: python -m stages.extract_frames --part k/n")
