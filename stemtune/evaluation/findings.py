"""Puts together what the report and the page of mistakes show of the models that were evaluated."""

import pandas as pd

from stemtune.core.params import Params
from stemtune.core.paths import FRAMES
from stemtune.evaluation import evaluated_models, insides, mistakes, mistakes_page, scoring
from stemtune.evaluation.comparison import BASELINE, Comparison
from stemtune.evaluation.evaluated_models import EvaluatedModels
from stemtune.evaluation.recommendation import Recommendation
from stemtune.evaluation.report import Results
from stemtune.evaluation.scoring import Scorer
from stemtune.store import frame_store
from stemtune.training import rates, tuned


def collect(
    settings: Params,
    frames: pd.DataFrame,
    trials: pd.DataFrame,
    scorer: Scorer,
    found: EvaluatedModels,
    compared: Comparison,
    recommendation: Recommendation,
) -> Results:
    """Returns what the report shows.

    Args:
        settings: The content of params.yaml.
        frames: The frame table.
        trials: The content of tuning/trials.csv.
        scorer: What the models are judged on.
        found: The models.
        compared: Their entries.
        recommendation: What to do with these clips.
    """
    tried, seed = settings.tune_lr.learning_rates, settings.runtime.seed
    answers = scorer.answers(found.compared)
    return Results(
        compared=compared,
        recommendation=recommendation,
        as_in_paper=settings.add_stem.as_in_paper,
        frames=frames,
        split_by=settings.extract_frames.split.by,
        trials=trials,
        advice=rates.advice(tried, tuned.read().learning_rate, "tune_lr.learning_rates"),
        history=evaluated_models.histories(found.stems),
        answers=answers,
        classes=scoring.per_class(answers),
        calibration=scorer.calibration(found.compared),
        comparisons=scorer.comparisons(found.compared),
        curve=scorer.curve(found.compared[BASELINE].classifier, found.resized),
        architectures=insides.architectures(found.stems, settings.add_stem),
        kernels=insides.kernels(found.stems, settings.add_stem, seed),
        examples=insides.examples(found, settings, scorer.test, scorer.classes),
    )


def write_mistakes(settings: Params, scorer: Scorer, found: EvaluatedModels, stem: str) -> None:
    """Writes the page of the clips that the baseline or a variant of the stem misses.

    Args:
        settings: The content of params.yaml.
        scorer: What the models are judged on.
        found: The models.
        stem: Name of the variant.
    """
    size = settings.extract_frames.size
    answered = [found.compared[name].probabilities for name in (BASELINE, stem)]
    mistakes_page.write(
        mistakes.find(scorer.test, scorer.classes, *answered),
        scorer.test["clip"].nunique(),
        stem,
        lambda shard, index: frame_store.read_frame(FRAMES, shard, index, size),
    )
