"""Recommends one of the candidates of a project, under its limits or under others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stemtune.core import litter, processor, typed_json
from stemtune.core.errors import Missing
from stemtune.core.params import Params
from stemtune.core.paths import EXPORTED, EXPORTS, LATENCY, MANIFEST, METRICS, PREDICTIONS
from stemtune.evaluation import (
    cascades,
    clip_answers,
    comparison,
    intervals,
    offers,
    paper,
    prices,
    verdicts,
)
from stemtune.evaluation.advice import Difference, Recommendation
from stemtune.evaluation.file_answers import FileAnswers
from stemtune.evaluation.intervals import Draws
from stemtune.evaluation.offers import Offer
from stemtune.evaluation.verdicts import Limits
from stemtune.store import manifest
from stemtune.store.manifest import TEST, VALIDATION


@dataclass(frozen=True)
class Choice:
    """All that a recommendation is made from.

    Attributes:
        offers: The candidates.
        groups: By split, the group of each clip, (clips,).
        chance: The accuracy of guessing: the share of test clips of the most frequent class.
        draws: For the intervals.
        notes: On the prices, in words, for people.
    """

    offers: Sequence[Offer]
    groups: Mapping[str, np.ndarray]
    chance: float
    draws: Draws
    notes: Sequence[str] = ()

    def recommend(
        self, max_loss: float, min_groups: int, budget_ms: float | None = None
    ) -> Recommendation | None:
        """Returns what `verdicts.recommend` does; None if no full-size model has a price.

        Args:
            max_loss: The clip accuracy that a cheaper candidate may lose, in [0, 1].
            min_groups: Fewer in validation or in test: no verdict.
            budget_ms: Milliseconds a clip at most; None: any.
        """
        if not any(offer.full_size for offer in self.offers):
            return None
        limits = Limits(max_loss, budget_ms, min_groups, self.draws)
        found = verdicts.recommend(self.offers, self.groups, limits, self.chance)
        return found.model_copy(update={"warnings": [*self.notes, *found.warnings]})

    def table(self, found: Recommendation) -> pd.DataFrame:
        """Returns a row per candidate, by rising price.

        The intervals of accuracies hold each by itself with 95%, those of the differences to the
        reference all together.

        Args:
            found: From `recommend`.
        """
        right = np.stack([offer.right[TEST] for offer in self.offers], axis=1)
        own = intervals.of_means(right, self.groups[TEST], (0, 1), self.draws)
        [reference] = [offer for offer in self.offers if offer.name == found.reference]
        others = [offer for offer in self.offers if offer is not reference]
        lost = {}
        if others:
            lost = verdicts.differences(
                others, reference, self.groups, TEST, self.draws, comparisons=len(others)
            )
        rows = [
            {
                "candidate": offer.name,
                "kind": offer.kind,
                "model": offer.models[0],
                "precision": offer.precision,
                "frames": offer.frames,
                "milliseconds": offer.price.mean,
                "worst_milliseconds": offer.price.worst,
                "megabytes": offer.megabytes,
                "peak_mib": offer.peak_mib,
                "clip_accuracy": estimate,
                "clip_accuracy_low": low,
                "clip_accuracy_high": high,
                **_difference(lost.get(offer.name)),
                "on_front": offer.name in found.front,
                "is_chosen": offer.name == found.candidate,
                "is_reference": offer.name == found.reference,
                "as_in_paper": offer.is_whole
                and comparison.kind_of(offer.models[0]) in paper.ACCURACIES,
                "file": offer.file,
            }
            for offer, estimate, low, high in zip(
                self.offers, own.estimate, own.low, own.high, strict=True
            )
        ]
        by = ["milliseconds", "candidate"]
        return pd.DataFrame(rows).sort_values(by, ignore_index=True)


def _difference(found: Difference | None) -> dict[str, float]:
    """Returns the columns of a difference; the reference has none."""
    if found is None:
        return {}
    return {
        "difference": found.difference,
        "difference_low": found.low,
        "difference_high": found.high,
    }


def read(settings: Params, latency: Path = LATENCY) -> Choice:
    """Returns the candidates of a project that is at its place.

    Args:
        settings: The content of params.yaml.
        latency: Times of exported files: metrics/latency.json, or what `stemtune time --json`
            printed on a device. Files that it lacks are no candidates.

    Raises:
        Missing: A file is missing.
        InputError: A file holds something else.
    """
    # That of the run: params.yaml may have changed since.
    size = typed_json.read(METRICS, comparison.Comparison).baseline.input_size
    frames = manifest.frame_table(manifest.read(MANIFEST))
    truths = {split: clip_answers.truth(frames, split) for split in (VALIDATION, TEST)}
    if not EXPORTS.exists():
        raise Missing(EXPORTS)
    stored = {
        path.name.removesuffix(cascades.SUFFIX): cascades.read(path)
        for path in litter.visible(EXPORTS, f"*{cascades.SUFFIX}")
    }
    priced, answers = prices.read(latency), FileAnswers(PREDICTIONS, EXPORTED)
    if latency == LATENCY:
        answers.require(priced)
    busy = max((price.busy_share or 0.0 for price in priced.values()), default=0.0)
    notes = [f"On the prices: {note}." for note in [processor.busy_note(busy)] if note]
    if settings.extract_frames.split.by == "frame":
        notes.append(
            "extract_frames.split.by is frame: a clip's frames are in several splits, so its price "
            "and its answer are those of fewer frames than named, and accuracies are too high."
        )
    found = offers.of(
        answers,
        priced,
        stored,
        [comparison.BASELINE, comparison.named(comparison.RETRAINED, size)],
        frames,
    )
    return Choice(
        offers=found,
        groups={split: truth["group"].to_numpy() for split, truth in truths.items()},
        chance=float(truths[TEST]["label"].value_counts(normalize=True).max()),
        draws=Draws(settings.compare.bootstrap_samples, settings.runtime.seed),
        notes=notes,
    )
