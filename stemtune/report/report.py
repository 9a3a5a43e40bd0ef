"""Puts together what the pages show, from what the stages wrote."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from stemtune.core import files, typed_json
from stemtune.core.params import Params
from stemtune.core.paths import (
    BASELINE,
    EXPORT_METRICS,
    EXPORT_PAGE,
    FRAMES,
    HISTORY_FILE,
    LATENCY,
    MANIFEST,
    METRICS,
    MISTAKES,
    PREDICTIONS,
    RECOMMENDATION,
    STEMS,
    TRIALS,
)
from stemtune.evaluation import advice, comparison, metrics, predictions, prices, recommending
from stemtune.evaluation.comparison import Comparison
from stemtune.evaluation.file_answers import FLOAT32
from stemtune.export.exports import Exports
from stemtune.networks import classifier
from stemtune.report import exports_page, insides, mistakes, page
from stemtune.store import frame_store, manifest
from stemtune.training import rates, tuned


def write(settings: Params) -> None:
    """Writes plots/, report/, records/exports.html and metrics/recommendation.json.

    Args:
        settings: The content of params.yaml.
    """
    compared, table = typed_json.read(METRICS, Comparison), manifest.read(MANIFEST)
    frames, classes = manifest.frame_table(table), manifest.classes(table)
    test = frames[frames["split"] == manifest.TEST].reset_index(drop=True)
    found = predictions.read(PREDICTIONS, manifest.TEST)
    shown = {name: found[name] for name in compared.models}
    answers = {name: metrics.predictions(rows, test, classes) for name, rows in shown.items()}
    add_stem, seed, stem = settings.add_stem, settings.runtime.seed, compared.best_stem()

    def read(shard: str, index: int) -> np.ndarray:
        return frame_store.read_frame(FRAMES, shard, index, settings.extract_frames.size)

    choice, limits = recommending.read(settings), settings.compare
    advised = choice.recommend(limits.acceptable_loss, limits.min_groups)
    advice.write(RECOMMENDATION, advised)
    tried, best = settings.tune_lr.learning_rates, tuned.read().learning_rate
    histories = {"baseline": BASELINE} | {name: STEMS / name for name in compared.stem}
    drawn = comparison.ranked(compared.stem)[: page.STEMS_SHOWN]
    stems = {name: classifier.load(STEMS / name).require_stem() for name in drawn}
    priced = prices.read(LATENCY)
    whole = {name: f"{name}_{FLOAT32}" for name in compared.models}
    results = page.Results(
        compared=compared,
        rows=comparison.rows(compared),
        recommendation=advice.sentence(advised),
        warnings=advised.warnings if advised else [],
        candidates=choice.table(advised) if advised else None,
        milliseconds={n: priced[f].ms_median for n, f in whole.items() if f in priced},
        clips=table,
        frames=frames,
        split_by=settings.extract_frames.split.by,
        trials=pd.read_csv(TRIALS),
        advice=rates.advice(tried, best, "tune_lr.learning_rates"),
        history=_stacked({n: pd.read_csv(path / HISTORY_FILE) for n, path in histories.items()}),
        answers=answers,
        classes=_stacked({name: metrics.per_class(rows) for name, rows in answers.items()}),
        calibration=_stacked({n: metrics.calibration(rows, test) for n, rows in shown.items()}),
        kernels=insides.kernels(stems, add_stem, seed),
        examples=insides.examples(stems, answers, settings, test),
    )
    page.write(results)
    missed = mistakes.find(test, classes, shown[comparison.BASELINE], shown[stem])
    files.write_text(MISTAKES, mistakes.render(missed, test["clip"].nunique(), stem, read))
    exports_page.write(EXPORT_PAGE, typed_json.read(EXPORT_METRICS, Exports), priced)


def _stacked(by_model: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Returns the tables of several models as one with a column `model`."""
    return pd.concat(
        [table.assign(model=name) for name, table in by_model.items()], ignore_index=True
    )
