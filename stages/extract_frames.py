"""extract_frames: clips in data/ → frames, one entry per clip, and the manifest.

Reads:  data/, or a DVC remote (stemtune/ingest/remote.py); block extract_frames of params.yaml
Writes: frames/, manifest.parquet, metrics/extract_frames.json, records/extract_frames.json,
        records/data_docs.html
Run:    python -m stemtune.run extract_frames
        python -m stages.extract_frames --dry-run: says what would be decoded
"""

import sys
import time
from dataclasses import replace

from stemtune.core import errors, params, records, typed_json
from stemtune.core.paths import CHECKSUMS, DATA, DATA_DOCS, EXTRACT_METRICS, FRAMES, MANIFEST
from stemtune.core.records import Record
from stemtune.engine import choice
from stemtune.ingest import (
    data_docs,
    expectations,
    extraction,
    ingest_summary,
    listing,
)
from stemtune.ingest import (
    manifest as ingest_manifest,
)
from stemtune.networks import weights
from stemtune.store import manifest


def main(record: Record) -> None:
    """Samples frames of every clip, reusing the entries of clips that did not change."""
    settings = params.load()
    extract = settings.extract_frames
    engine = choice.choose(settings.runtime.threads)
    # Missing weights should stop the pipeline now, not after an hour of decoding.
    weights.fetch_all(settings.compared_backbones)
    with record.timed(params.flat("extract_frames", extract)):
        found = listing.read(DATA, extract, choice.cores(), CHECKSUMS)
        before = manifest.read(MANIFEST) if MANIFEST.exists() else None
        started = time.perf_counter()
        extracted = extraction.extract_all(found.clips, FRAMES, extract, engine)
        seconds = time.perf_counter() - started
        found = replace(found, clips=extracted.clips)
        table = ingest_manifest.build(found, extracted.outcomes, extract)
        manifest.write(table, MANIFEST)
        decoded, contents = len(extracted.decoded), len(extracted.outcomes)
        # Before all that may fail: why clips were left out is often why it does.
        print(ingest_summary.summary(table, before, decoded, contents), flush=True)
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


def dry_run() -> None:
    """Says how many clips have no frames yet, and about how long decoding them takes."""
    extract = params.load().extract_frames
    found = listing.read(DATA, extract, choice.cores(), CHECKSUMS)
    known, new = extraction.plan(found.clips, FRAMES, extract)
    path = records.path_of("extract_frames")
    rate = records.read(path).metrics.get("frames_per_second") if path.exists() else None
    print(ingest_summary.outlook(len(known), len(new), extract.frames_per_clip, rate))


if __name__ == "__main__":
    if sys.argv[1:] != ["--dry-run"]:
        raise SystemExit("usage: python -m stages.extract_frames --dry-run")
    errors.run("extract_frames", dry_run)
