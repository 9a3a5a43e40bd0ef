"""embed_frames: frames → features of each frozen backbone, at several sides of frames.

These are the full side, that of frames as small as a stem makes them, and those that cost as much
as a stem's model. At the smaller ones train_resized trains a new head.

Each backbone sees each frame once; the paper's loop shows it every frame 4 trials x 5 epochs.
Clips with train frames are embedded in the views that new heads learn from too, mirrored and moved,
and those with test frames at a few more sides, on which nothing that is trained depends.

Reads:  frames/, manifest.parquet, block embed_frames and evaluate.resize_sides of params.yaml
Writes: embeddings/, embeddings_augmented/, embeddings_resized/, records/embed_frames.json
Run:    python -m stages.embed_frames
"""

import time
from functools import partial

from stemtune.core import params, records, stage
from stemtune.core.paths import AUGMENTED, EMBEDDINGS, MANIFEST, RESIZED
from stemtune.engine import choice
from stemtune.networks import reproducibility, weights
from stemtune.store import embeddings, manifest


def main() -> None:
    """Embeds the frames of clips that have no features yet."""
    settings = params.load()
    configure = partial(reproducibility.configure, settings.runtime)
    engine = choice.choose(settings.runtime.threads, configure)
    sources = weights.fetch_all(settings.embed_frames)
    configure()
    from stemtune.networks import backbones, cost, embedding

    extract, seed = settings.extract_frames, settings.runtime.seed
    small, own_sizes = settings.small_side, settings.embed_frames.input_sizes
    shown_as_they_are = [name for name in sources if name not in own_sizes]
    backbones.require_side(
        shown_as_they_are,
        small,
        f"extract_frames.size {extract.size} with add_stem.downscale {settings.add_stem.downscale}",
    )
    chosen = settings.evaluate.resize_sides
    further = backbones.resize_sides(shown_as_they_are, chosen, extract.size)
    kinds = {
        name: embedding.Backbone(name, source, seed, own_sizes.get(name))
        for name, source in sources.items()
    }
    networks = {name: embedding.network(kind) for name, kind in kinds.items()}
    composite = backbones.concatenate([*networks.values()])
    equal = cost.equal_cost_sides(composite, settings.add_stem.downscale, extract.size)
    sides = sorted({extract.size, small, *equal.values()})
    frames = manifest.frame_table(manifest.read(MANIFEST))
    trained = manifest.shards(frames, manifest.TRAIN)
    shown = range(1, settings.add_stem.retrained_head.views)
    trained_at = sorted({small, *equal.values()}) if shown else []
    wanted = [
        embeddings.Wanted(EMBEDDINGS, sides, manifest.shards(frames)),
        embeddings.Wanted(AUGMENTED, trained_at, trained, shown),
        embeddings.Wanted(RESIZED, further, manifest.shards(frames, manifest.TEST)),
    ]
    flat = params.flat("embed_frames", settings.embed_frames)
    with records.recording("embed_frames", flat) as record:
        for each in wanted:
            embeddings.remove_other_backbones(each.folder, keep=list(sources))
        gaps = []
        for name, kind in kinds.items():
            gaps += [
                embedding.Embedding(kind, gap, extract.frames_per_clip, extract.size)
                for gap in embeddings.plan(wanted, name, kind.identity(settings.runtime.threads))
            ]
        started = time.perf_counter()
        if embedded := embedding.fill_all(gaps, engine):
            record.metrics["frames_per_second"] = embedded / (time.perf_counter() - started)


if __name__ == "__main__":
    stage.run("embed_frames", main)
