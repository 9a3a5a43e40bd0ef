"""Puts together what the report and the page of mistakes show, from what the stages wrote."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial

import numpy as np
import pandas as pd

from stemtune.core import typed_json
from stemtune.core.params import Params
from stemtune.core.paths import (
    BASELINE,
    FRAMES,
    HISTORY_FILE,
    MANIFEST,
    METRICS,
    PREDICTIONS,
    STEMS,
    TRIALS,
)
from stemtune.evaluation import comparison, metrics, predictions, recommendation
from stemtune.evaluation.comparison import Comparison
from stemtune.networks import classifier
from stemtune.report import insides, mistakes, mistakes_page, page
from stemtune.store import frame_store, manifest
from stemtune.training import rates, tuned


def write(settings: Params) -> None:
    """Writes plots/ and report/.

    Args:
        settings: The content of params.yaml.
    """
    compared = typed_json.read(METRICS, Comparison)
    table = manifest.read(MANIFEST)
    frames, classes = manifest.frame_table(table), manifest.classes(table)
    test = frames[frames["split"] == manifest.TEST].reset_index(drop=True)
    found = predictions.read(PREDICTIONS, manifest.TEST)
    shown = {name: found[name] for name in compared.models}
    page.write(collect(settings, compared, frames, test, classes, shown))
    stem, size = compared.best_stem(), settings.extract_frames.size
    mistakes_page.write(
        mistakes.find(test, classes, shown[comparison.BASELINE], shown[stem]),
        test["clip"].nunique(),
        stem,
        lambda shard, index: frame_store.read_frame(FRAMES, shard, index, size),
    )


def collect(
    settings: Params,
    compared: Comparison,
    frames: pd.DataFrame,
    test: pd.DataFrame,
    classes: list[str],
    shown: Mapping[str, np.ndarray],
) -> page.Results:
    """Returns what the report shows.

    Args:
        settings: The content of params.yaml.
        compared: The content of metrics/evaluate.json.
        frames: The frame table.
        test: Its test frames.
        classes: Names of the classes, by label.
        shown: By model, probabilities (test frames, classes).
    """
    add_stem, seed = settings.add_stem, settings.runtime.seed
    compare = partial(metrics.difference, shown, test, settings.evaluate.bootstrap_samples, seed)
    advised = recommendation.recommend(compared, compare, settings.evaluate.acceptable_loss)
    tried = settings.tune_lr.learning_rates
    answers = {name: metrics.predictions(rows, test, classes) for name, rows in shown.items()}
    stems = {variant: classifier.load(STEMS / variant).require_stem() for variant in compared.stem}
    return page.Results(
        compared=compared,
        recommendation=advised.sentence(),
        as_in_paper=add_stem.as_in_paper,
        frames=frames,
        split_by=settings.extract_frames.split.by,
        trials=pd.read_csv(TRIALS),
        advice=rates.advice(tried, tuned.read().learning_rate, "tune_lr.learning_rates"),
        history=histories([*compared.stem]),
        answers=answers,
        classes=_stacked({name: metrics.per_class(rows) for name, rows in answers.items()}),
        calibration=_stacked(
            {name: metrics.calibration(rows, test) for name, rows in shown.items()}
        ),
        comparisons=pd.DataFrame(
            [
                {"stem": stem, "other": other, **asdict(compare(stem, other))}
                for stem in compared.stem
                for other in compared.models
                if other not in compared.stem
            ]
        ),
        kernels=insides.kernels(stems, add_stem, seed),
        examples=insides.examples(stems, shown, settings, test, classes),
    )


def histories(variants: Sequence[str]) -> pd.DataFrame:
    """Returns the training histories of baseline and stems as one table with a column `model`."""
    folders = {"baseline": BASELINE} | {variant: STEMS / variant for variant in variants}
    return _stacked({name: pd.read_csv(path / HISTORY_FILE) for name, path in folders.items()})


def _stacked(by_model: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Returns the tables of several models as one with a column `model`."""
    return pd.concat(
        [table.assign(model=name) for name, table in by_model.items()], ignore_index=True
    )
