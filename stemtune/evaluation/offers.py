"""The candidates that one could deploy: an exported file, or a cascade of two, with its frames.

A file of float16 is no candidate of its own: it computes as float32 does, and is smaller.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from stemtune.evaluation import cascades, clip_answers, comparison, prices
from stemtune.evaluation.cascades import Cascade
from stemtune.evaluation.file_answers import FILE_SUFFIX, FLOAT32, FileAnswers
from stemtune.evaluation.prices import FilePrice
from stemtune.evaluation.verdicts import Measured
from stemtune.store.manifest import TEST, VALIDATION

CASCADE = "cascade"


@dataclass(frozen=True)
class Offer(Measured):
    """A candidate, and the files that it runs.

    Attributes:
        models: Of metrics/evaluate.json: one, or a cascade's small and full one.
        precision: float32 or int8.
        frames: How many of a clip each model looks at.
        file: In exports/, a .tflite file or a .cascade.json file.
        megabytes: Size of its files; None: not known.
        peak_mib: Peak memory, MiB; None: not known, as of a cascade.
        is_whole: Whether it is a model as it was trained: float32, on all frames.
    """

    models: Sequence[str]
    precision: str
    frames: int
    file: str
    megabytes: float | None
    peak_mib: float | None
    is_whole: bool

    @property
    def kind(self) -> str:
        """Of its model, or cascade."""
        return CASCADE if len(self.models) > 1 else comparison.kind_of(self.models[0])


def of(
    answers: FileAnswers,
    priced: Mapping[str, FilePrice],
    stored: Mapping[str, Cascade],
    full_size: Collection[str],
    frames: pd.DataFrame,
) -> list[Offer]:
    """Returns all candidates whose files have answers and a price.

    Args:
        answers: Of the files.
        priced: By file without suffix.
        stored: Cascades by name.
        full_size: Models that see frames of full size and have no stem.
        frames: The frame table.
    """
    numbers = clip_answers.numbers(frames)
    truths = {split: clip_answers.truth(frames, split) for split in (VALIDATION, TEST)}
    offers = []
    for file in (file for file in priced if file in answers.files):
        model, _, precision = file.rpartition("_")
        for number in numbers:
            by_split = {split: answers.of(file, split, number) for split in truths}
            is_whole = precision == FLOAT32 and number == numbers[-1]
            offers.append(
                Offer(
                    name=_name(file, number),
                    price=prices.of_answers(by_split[VALIDATION], priced[file].ms_median),
                    full_size=is_whole and model in full_size,
                    loss=by_split[VALIDATION].loss(truths[VALIDATION]),
                    right={split: by_split[split].right(truths[split]) for split in truths},
                    models=[model],
                    precision=precision,
                    frames=number,
                    file=f"{file}{FILE_SUFFIX}",
                    megabytes=_megabytes(priced[file]),
                    peak_mib=priced[file].peak_mib,
                    is_whole=is_whole,
                )
            )
    for name, cascade in stored.items():
        both = [Path(file).stem for file in (cascade.small, cascade.full)]
        if all(file in priced and file in answers.files for file in both):
            offers.append(_of_cascade(name, cascade, answers, priced, truths))
    return offers


def _of_cascade(
    name: str,
    cascade: Cascade,
    answers: FileAnswers,
    priced: Mapping[str, FilePrice],
    truths: Mapping[str, pd.DataFrame],
) -> Offer:
    small, full = Path(cascade.small).stem, Path(cascade.full).stem
    below = {split: answers.of(small, split, cascade.small_frames) for split in truths}
    above = {split: answers.of(full, split, cascade.full_frames) for split in truths}
    return Offer(
        name=_name(name.rpartition("_")[0], cascade.small_frames),
        price=prices.of_cascade(
            below[VALIDATION],
            above[VALIDATION],
            cascades.asked(below[VALIDATION], cascade.threshold),
            priced[small].ms_median,
            priced[full].ms_median,
        ),
        full_size=False,
        loss=cascades.answers(below[VALIDATION], above[VALIDATION], cascade.threshold).loss(
            truths[VALIDATION]
        ),
        right={
            VALIDATION: cascades.held_out(below[VALIDATION], above[VALIDATION], truths[VALIDATION]),
            TEST: cascades.answers(below[TEST], above[TEST], cascade.threshold).right(truths[TEST]),
        },
        models=[file.rpartition("_")[0] for file in (small, full)],
        precision=small.rpartition("_")[2],
        frames=cascade.small_frames,
        file=f"{name}{cascades.SUFFIX}",
        megabytes=_megabytes(priced[small], priced[full]),
        peak_mib=None,
        is_whole=False,
    )


def _megabytes(*files: FilePrice) -> float | None:
    sizes = [file.bytes for file in files if file.bytes is not None]
    return sum(sizes) / 1e6 if len(sizes) == len(files) else None


def _name(file: str, frames: int) -> str:
    return f"{file} on {frames} frame{'s' if frames > 1 else ''}"
