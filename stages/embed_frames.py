"""embed_frames: frames → features of each frozen backbone, at full side and at the stem's.

Each backbone sees each frame once; the paper's loop shows it every frame 4 trials x 5 epochs.

Reads:  frames/, manifest.parquet, block embed_frames of params.yaml
Writes: embeddings/, records/embed_frames.json
Run:    python -m stages.embed_frames
"""

import time

from stemtune import embeddings, errors, files, manifest, params, records, runtime, weights
from stemtune.paths import EMBEDDINGS, FRAMES, MANIFEST


def main() -> None:
    """Embeds the frames of clips that have no features yet."""
    settings = params.load()
    sources = weights.fetch_all(settings.embed_frames)
    runtime.configure(settings.runtime)
    from stemtune import backbones

    extract, seed, threads = (
        settings.extract_frames,
        settings.runtime.seed,
        settings.runtime.threads,
    )
    sides = (extract.size, settings.small_side)
    backbones.require_side(
        list(sources),
        min(sides),
        f"extract_frames.size {extract.size} with add_stem.input_size "
        f"{settings.add_stem.input_size}",
    )
    shards = sorted(manifest.used_clips(manifest.read(MANIFEST))["shard"].unique())
    with records.recording(
        "embed_frames", params.flat("embed_frames", settings.embed_frames)
    ) as record:
        embedded, spent = 0, 0.0
        embeddings.remove_other_backbones(EMBEDDINGS, keep=list(sources))
        for name, source in sources.items():
            network = backbones.build(name, source, seed)
            features = network.output_shape[-1]
            checksum = files.sha256(source) if source else f"random {seed}"
            identity = embeddings.Identity(features, checksum, threads)
            embeddings.prepare(EMBEDDINGS, name, identity, sides)
            for side in sides:
                folder = embeddings.side_folder(EMBEDDINGS, name, side)
                missing = embeddings.missing(folder, shards, features)
                embed = backbones.embedder(network, extract.frames_per_clip, extract.size, side)
                started = time.perf_counter()
                frames = embeddings.embed_shards(
                    FRAMES, folder, missing, extract.size, embed, f"{name} at {side} px"
                )
                seconds = time.perf_counter() - started
                print(
                    f"embed_frames: {name} at {side} px: {len(missing)} clips embedded, "
                    f"{len(shards) - len(missing)} reused; {frames} frames in {seconds:.1f} s"
                )
                embedded, spent = embedded + frames, spent + seconds
        if embedded:
            record.metrics["frames_per_second"] = embedded / spent


if __name__ == "__main__":
    errors.run("embed_frames", main)
