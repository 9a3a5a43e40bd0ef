"""embed_frames: frames → features of each frozen backbone, at each side that is compared.

Each backbone sees each frame once at a side; the paper's loop shows it every frame 4 trials x 5
epochs. Clips with train frames are embedded in the augmented copies that new heads learn from too.

Reads:  frames/, manifest.parquet, blocks embed_frames and compare of params.yaml
Writes: embeddings/, embeddings_augmented/, records/embed_frames.json
Run:    python -m stemtune.run embed_frames
"""

import time

from stemtune.core import params
from stemtune.core.paths import AUGMENTED, EMBEDDINGS, MANIFEST
from stemtune.core.records import Record
from stemtune.networks import engines, weights
from stemtune.store import embeddings, manifest


def main(record: Record) -> list[str]:
    """Embeds the frames of clips that have no features yet; returns how many, in lines."""
    settings = params.load()
    engine = engines.choose(settings.runtime)
    sources = weights.fetch_all(settings.compared_backbones)
    from stemtune.networks import backbones, embedding

    extract, seed = settings.extract_frames, settings.runtime.seed
    sides, own_sizes = settings.sides, settings.embed_frames.input_sizes
    backbones.require_side(
        [name for name in sources if name not in own_sizes],
        sides[0],
        f"compare.sides {settings.compare.sides}"
        if sides[0] < settings.small_side
        else f"extract_frames.size {extract.size} with add_stem.downscale "
        f"{settings.add_stem.downscale}",
    )
    kinds = {
        name: embedding.Backbone(name, source, seed, own_sizes.get(name))
        for name, source in sources.items()
    }
    frames = manifest.frame_table(manifest.read(MANIFEST))
    trained = manifest.shards(frames, manifest.TRAIN)
    shown = range(1, settings.add_stem.retrained_head.views)
    wanted = [
        embeddings.Wanted(EMBEDDINGS, sides, manifest.shards(frames)),
        embeddings.Wanted(AUGMENTED, sides if shown else [], trained, shown),
    ]
    flat = params.flat("embed_frames", settings.embed_frames)
    with record.timed(flat):
        for each in wanted:
            embeddings.remove_other_backbones(each.folder, keep=list(sources))
        embedded, lines, started = 0, [], time.perf_counter()
        for name, kind in kinds.items():
            identity = kind.identity(settings.runtime.threads)
            lacking, kept = embeddings.plan(wanted, name, identity)
            embedded += embedding.fill_all(
                kind, lacking, extract.frames_per_clip, extract.size, engine
            )
            lines += embeddings.lines(name, lacking, kept)
        if embedded:
            record.metrics["frames_per_second"] = embedded / (time.perf_counter() - started)
    return lines
