"""extract_frames: clips in data/ → frames, one shard per clip, and the manifest.

Reads:  data/, block extract_frames of params.yaml
Writes: frames/, manifest.parquet, metrics/extract_frames.json, records/extract_frames.json
Run:    python -m stages.extract_frames
"""

import time
from typing import Any

import pandas as pd

from stemtune import clips, expectations, extraction, manifest, params, records, weights
from stemtune.files import write_json
from stemtune.paths import DATA, EXTRACT_METRICS, FRAMES, MANIFEST


def main() -> None:
    """Samples frames of every clip, reusing the shards of clips that did not change."""
    settings = params.load()
    extract = settings.extract_frames
    # Missing weights should stop the pipeline now, not after an hour of decoding.
    weights.fetch_all(settings.embed_frames)
    with records.recording("extract_frames", params.flat("extract_frames", extract)) as record:
        found = clips.find_clips(DATA)
        known = extraction.measurements(MANIFEST)
        started = time.perf_counter()
        outcomes, decoded = extraction.extract_all(
            found, FRAMES, known, extract, settings.runtime.threads
        )
        seconds = time.perf_counter() - started
        names = [extraction.shard_name(clip, extract) for clip in found]
        table = extraction.make_manifest(found, names, outcomes, extract.split)
        manifest.write(table, MANIFEST)
        results = expectations.check(table, extract)
        summary = summarize(table, results)
        write_json(EXTRACT_METRICS, summary)
        record.metrics = {
            "clips": summary["clips"],
            "frames": summary["frames"],
            "quarantined": summary["quarantined"],
            "clips_decoded": decoded,
        }
        if decoded:
            rate = decoded / len(outcomes) * summary["frames"] / seconds
            record.metrics["frames_per_second"] = rate
        report(table, summary, decoded, len(outcomes) - decoded)
        expectations.require(results)


def summarize(table: pd.DataFrame, results: list[expectations.Result]) -> dict[str, Any]:
    """Returns the counts and the verdict for metrics/extract_frames.json."""
    frames = manifest.frame_table(table)
    return {
        "clips": len(table),
        "frames": len(frames),
        "groups": int(table["group"].nunique()),
        "quarantined": int((table["quarantined"] != "").sum()),
        "classes": {name: int(count) for name, count in table["class"].value_counts().items()},
        "frames_per_split": {
            name: int(count) for name, count in frames["split"].value_counts().items()
        },
        "expectations": {result.expectation: result.holds for result in results},
    }


def report(table: pd.DataFrame, summary: dict[str, Any], decoded: int, reused: int) -> None:
    """Says on the terminal what was found, done and left out."""
    per_split = ", ".join(f"{name} {count}" for name, count in summary["frames_per_split"].items())
    print(
        f"extract_frames: {summary['clips']} clips of {len(summary['classes'])} classes in "
        f"{summary['groups']} groups; {decoded} decoded, {reused} reused; "
        f"{summary['frames']} frames ({per_split}); {summary['quarantined']} quarantined"
    )
    for row in table[table["quarantined"] != ""].itertuples():
        print(f"  quarantined: {row.clip} {row.quarantined}")


if __name__ == "__main__":
    main()
