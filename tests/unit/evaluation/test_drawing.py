"""Figures of classes whose names are in any script."""

import pandas as pd
import pytest

from stemtune.report import class_figures

NAMES = ["日本語", "動画の分類と評価のとても長い名前", "ไทย", "weave", "<b>日"]


@pytest.mark.filterwarnings("error")
def test_names_that_the_font_lacks_are_text_and_the_same_bytes_each_time() -> None:
    answers = pd.DataFrame([{"actual": name, "predicted": name} for name in NAMES])
    drawn = class_figures.confusion(answers)
    for shown in ("日本語", "動画の分類と評価の…", "ไทย", "weave", "&lt;b&gt;日"):
        # On both axes.
        assert drawn.count(f">{shown}</text>") == 2
    assert class_figures.confusion(answers) == drawn
    table = pd.DataFrame({"model": "joint", "class": NAMES, "frames": 3, "accuracy": 0.5})
    assert ">日本語 (3)</text>" in class_figures.classes(table)


def test_other_names_are_outlines_as_before() -> None:
    answers = pd.DataFrame({"actual": ["weave", "Überblick"], "predicted": ["weave", "έλληνας"]})
    assert "<text" not in class_figures.confusion(answers)
