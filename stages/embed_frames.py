"""embed_frames: frames → features of each frozen backbone, at full side and at the stem's.

Each backbone sees each frame once; the paper's loop shows it every frame 4 trials x 5 epochs.
Clips with test frames are embedded at a few more sides, apart from the others: what is trained
depends on none of these.

Reads:  frames/, manifest.parquet, block embed_frames and evaluate.resize_sides of params.yaml
Writes: embeddings/, embeddings_resized/, records/embed_frames.json
Run:    python -m stages.embed_frames
"""

import time

from stemtune import embeddings, files, manifest, params, records, runtime, stage, weights
from stemtune.paths import EMBEDDINGS, FRAMES, MANIFEST, RESIZED


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
    own_sizes = settings.embed_frames.input_sizes
    shown_as_they_are = [name for name in sources if name not in own_sizes]
    backbones.require_side(
        shown_as_they_are,
        min(sides),
        f"extract_frames.size {extract.size} with add_stem.input_size "
        f"{settings.add_stem.input_size}",
    )
    further = backbones.resize_sides(
        shown_as_they_are, settings.evaluate.resize_sides, extract.size
    )
    frames = manifest.frame_table(manifest.read(MANIFEST))
    shards = sorted(frames["shard"].unique())
    tested = sorted(frames.loc[frames["split"] == manifest.TEST, "shard"].unique())
    wanted = [(EMBEDDINGS, side, shards) for side in sides]
    wanted += [(RESIZED, side, tested) for side in further]
    with records.recording(
        "embed_frames", params.flat("embed_frames", settings.embed_frames)
    ) as record:
        embedded, spent = 0, 0.0
        for home in (EMBEDDINGS, RESIZED):
            embeddings.remove_other_backbones(home, keep=list(sources))
        for name, source in sources.items():
            network = backbones.build(name, source, seed, own_sizes.get(name))
            features = network.output_shape[-1]
            checksum = files.sha256(source) if source else f"random {seed}"
            identity = embeddings.Identity(features, checksum, threads, own_sizes.get(name))
            embeddings.prepare(EMBEDDINGS, name, identity, sides)
            embeddings.prepare(RESIZED, name, identity, further)
            for home, side, names in wanted:
                folder = embeddings.side_folder(home, name, side)
                missing = embeddings.missing(folder, names, features)
                embed = backbones.embedder(network, extract.frames_per_clip, extract.size, side)
                started = time.perf_counter()
                count = embeddings.embed_shards(
                    FRAMES, folder, missing, extract.size, embed, f"{name} at {side} px"
                )
                seconds = time.perf_counter() - started
                print(
                    f"embed_frames: {name} at {side} px: {len(missing)} clips embedded, "
                    f"{len(names) - len(missing)} reused; {count} frames in {seconds:.1f} s"
                )
                embedded, spent = embedded + count, spent + seconds
        if embedded:
            record.metrics["frames_per_second"] = embedded / spent


if __name__ == "__main__":
    stage.run("embed_frames", main)
