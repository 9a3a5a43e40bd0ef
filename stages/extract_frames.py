"""extract_frames: clips in data/ → frames, one shard per clip, and the manifest.

Reads:  data/, block extract_frames of params.yaml
Writes: frames/, manifest.parquet, metrics/extract_frames.json, records/extract_frames.json,
        records/data_docs.html
Run:    python -m stages.extract_frames
"""

import time

from stemtune import (
    clips,
    data_docs,
    expectations,
    extraction,
    groups,
    intake,
    manifest,
    params,
    records,
    splits,
    stage,
    weights,
)
from stemtune.files import write_json
from stemtune.paths import DATA, DATA_DOCS, EXTRACT_METRICS, FRAMES, MANIFEST, UNFINISHED_EXTRACTION


def main() -> None:
    """Samples frames of every clip, reusing the shards of clips that did not change."""
    settings = params.load()
    extract, workers = settings.extract_frames, settings.runtime.threads
    # Missing weights should stop the pipeline now, not after an hour of decoding.
    weights.fetch_all(settings.embed_frames)
    lists = extract.split.lists
    list_names = (lists.train, lists.test) if lists else ()
    with records.recording("extract_frames", params.flat("extract_frames", extract)) as record:
        found = clips.find_clips(DATA, list_names, workers)
        group_table = groups.read_table(DATA / clips.GROUPS_FILE)
        official = splits.read_lists(DATA, lists) if lists else None
        before = manifest.read(MANIFEST) if MANIFEST.exists() else None
        started = time.perf_counter()
        extracted = extraction.extract_all(
            found,
            FRAMES,
            extraction.outcomes_of(before),
            extract,
            workers,
            UNFINISHED_EXTRACTION,
        )
        seconds = time.perf_counter() - started
        table = extraction.make_manifest(found, extracted.outcomes, group_table, official, extract)
        manifest.write(table, MANIFEST)
        validation = expectations.check(table, extract)
        data_docs.write(validation, DATA_DOCS)
        metrics = intake.metrics(table, validation.results)
        write_json(EXTRACT_METRICS, metrics)
        record.metrics = intake.numbers(metrics) | {"clips_decoded": len(extracted.decoded)}
        if extracted.decoded:
            decoded = table[table["shard"].isin(extracted.decoded)]
            frames = decoded.drop_duplicates("shard")["frame_seconds"].map(len).sum()
            record.metrics["frames_per_second"] = float(frames / seconds)
        record.artifacts = [str(DATA_DOCS)]
        print(intake.summary(table, before, len(extracted.decoded), len(extracted.outcomes)))
        expectations.require(validation.results, str(DATA_DOCS))


if __name__ == "__main__":
    stage.run("extract_frames", main)
