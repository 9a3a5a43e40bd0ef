"""What one could deploy: files and cascades, each with its price and its answers."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stemtune.core.errors import InputError
from stemtune.evaluation import cascades, offers, prices
from stemtune.evaluation.clip_answers import ClipAnswers
from stemtune.evaluation.offers import Offer
from stemtune.evaluation.prices import FilePrice
from stemtune.export import exports, joining
from tests.support import answered_files
from tests.support.answered_files import MILLISECONDS
from tests.support.results import COMPARED

WRONG = {
    "baseline": 2,
    "retrained_224": 0,
    "retrained_224_int8": 1,
    "retrained_112": 8,
    "retrained_112_int8": 8,
    "resize_112": 20,
}


@pytest.fixture(scope="module")
def offered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Offer]:
    answers = answered_files.write(tmp_path_factory.mktemp("answers"), WRONG)
    table = answered_files.frame_table()
    smalls = ["retrained_112", "joint"]
    cascades = joining.plan(answers, smalls, "retrained_224", [*MILLISECONDS], table)
    full = ["baseline", "retrained_224"]
    priced = {name: FilePrice(ms_median=ms, bytes=2_000_000) for name, ms in MILLISECONDS.items()}
    found = offers.of(answers, priced, cascades, full, table)
    assert len({each.name for each in found}) == len(found)
    return {each.name: each for each in found}


def test_each_file_is_offered_with_one_two_and_all_frames(offered: dict[str, Offer]) -> None:
    plain = [name for name, each in offered.items() if len(each.models) == 1]
    # A model that is no file has no price, and float16 computes as float32 does.
    assert len(plain) == 5 * 3
    for number, words in ((1, "1 frame"), (2, "2 frames"), (3, "3 frames")):
        each = offered[f"retrained_112_int8 on {words}"]
        assert (each.price.mean, each.price.worst) == (number, number)
        assert each.accuracy("test") == pytest.approx(1 - 8 / 40)
        assert each.file == "retrained_112_int8.tflite"
    assert {name for name, each in offered.items() if each.full_size} == {
        "baseline_float32 on 3 frames",
        "retrained_224_float32 on 3 frames",
    }


def test_a_cascade_asks_the_full_model_where_the_small_one_is_unsure(
    offered: dict[str, Offer],
) -> None:
    cascade = offered["retrained_112_to_retrained_224_float32 on 1 frame"]
    assert cascade.accuracy("test") == 1
    # Eight of forty clips are unsure.
    assert cascade.price.mean == pytest.approx(3 + 9 * 8 / 40)
    assert cascade.price.worst == 12
    # Both files have to be there.
    assert cascade.megabytes == 4
    assert cascade.models == ["retrained_112", "retrained_224"]
    assert cascade.file == "retrained_112_to_retrained_224_float32_1.cascade.json"
    assert sum(len(each.models) == 2 for each in offered.values()) == 2 * 3


def test_a_threshold_is_not_judged_by_the_clips_it_was_made_for() -> None:
    # The small model is wrong for one clip of twenty, without which it need not ask.
    clips = np.array([f"clip_{number:02}" for number in range(20)])
    sure, wrong = 0.6 + np.arange(20) / 100, np.arange(20) == 10
    small = ClipAnswers(
        clips,
        np.stack([np.where(wrong, 1 - sure, sure), np.where(wrong, sure, 1 - sure)], axis=1),
        np.ones(20, int),
    )
    full = ClipAnswers(clips, np.tile([1.0, 0.0], (20, 1)), np.ones(20, int))
    truth = pd.DataFrame({"group": clips, "label": 0}, index=clips)
    chosen = cascades.threshold(small, full, truth)
    assert cascades.answers(small, full, chosen).right(truth).all()
    assert cascades.held_out(small, full, truth).sum() == 19
    # Of one group there are no others.
    assert cascades.held_out(small, full, truth.assign(group="one")).all()


def test_prices_are_read_from_what_a_device_printed(tmp_path: Path) -> None:
    path = tmp_path / "pi.json"
    path.write_text(json.dumps({"a_int8.tflite": {"ms_median": 2, "ms_p95": 3.0}}))
    assert prices.read(path)["a_int8"].ms_median == 2.0
    path.write_text(json.dumps({"a_int8.tflite": {"ms_median": 0}}))
    with pytest.raises(InputError, match=r"(?s)ms_median: .*greater than 0.*time --json FILE"):
        prices.read(path)
    with pytest.raises(InputError, match="there is no file"):
        prices.read(tmp_path / "missing.json")


def test_models_become_files_of_the_precisions_that_matter() -> None:
    found = exports.wanted(COMPARED, ["baseline", "retrained", "stem"], 108)
    assert {name: len(precisions) for name, precisions in found.items()} == {
        "baseline": 1,
        "retrained_108": 3,
        "retrained_118": 2,
        "as_published": 1,
        "warm_start": 3,
    }
    assert found["as_published"] == ["float32"]
    assert [*exports.wanted(COMPARED, ["retrained"], 108)] == ["retrained_108", "retrained_118"]
