"""Our pages in a real browser: pictures load, nothing fails or sticks out, no name is obeyed."""

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from stemtune.core import params
from stemtune.evaluation.prices import FilePrice
from stemtune.export.exports import Export, Exports
from stemtune.ingest import data_docs, expectations
from stemtune.report import exports_page as export_page
from stemtune.report import mistakes
from stemtune.report import page as report
from stemtune.store.manifest import SPLITS
from tests.support import results
from tests.support.browser import Seen, assert_sound, look_at, look_at_all
from tests.support.project import ROOT

WIDTHS = [1280, 390]
# What it runs can be seen in the page's text.
RUNS = "document.body.append('OBE' + 'YED')"
EVIL = f'<svg onload="{RUNS}"></svg><script>{RUNS}</script> $column ${{x}} {{{{1}}}} &lt;'

# Of 60 characters, with a number behind it, and no place to break it.
SIXTY = f"<b>{'withoutend' * 6}"[:56]

pytestmark = pytest.mark.browser


def hostile_manifest() -> pd.DataFrame:
    """Returns a manifest whose every name, group and reason is HTML, and of which much is wrong."""
    rows = [
        {
            "clip": f"{label}/{number} {EVIL}.mp4",
            "class": label,
            "group": EVIL,
            "grouped_by": "name",
            "sha256": f"{label} {number}",
            "shard": f"{label} {number}",
            "split": split,
            "frame_splits": [split],
            "frame_side": 9,
            "brightness": float(number),
            "contrast": 0.0,
            "quarantined": "" if number else f"is {EVIL}",
        }
        for label in (EVIL, "other")
        for number, split in enumerate(SPLITS)
    ]
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = params.load(ROOT / "params.yaml").extract_frames
    settings = settings.model_copy(update={"classes": [EVIL, "third"]})
    page = tmp_path_factory.mktemp("docs") / "data_docs.html"
    data_docs.write(expectations.check(hostile_manifest(), settings), page)
    return page


def test_the_data_docs_show_names_and_obey_none(docs: Path) -> None:
    seen, narrow = look_at(docs, WIDTHS)
    for one in (seen, narrow):
        assert (one.errors, one.faint, one.cut) == ([], [], [])
        assert one.page_width <= one.width
        # The tables are those of Great Expectations.
        assert set(one.untold) == {"table, no caption"}
    assert seen.text.startswith("← Report")
    assert "OBEYED" not in seen.text
    assert f"are those of extract_frames.classes: {[EVIL, 'third']}" in seen.text
    assert f"{EVIL}/0 {EVIL}.mp4" in seen.text.replace("\n", " ")


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    shares = dict.fromkeys(("test_accuracy", "keras_accuracy", "agreement"), 0.9)
    shares |= {f"test_accuracy_{side}": 0.9 for side in ("low", "high")}
    shares |= dict.fromkeys(("difference", "difference_low", "difference_high"), 0.0)
    export = Export(model="joint", precision="int8", side=112, bytes=4_000_000, **shares)
    page = tmp_path / "exports.html"
    price = FilePrice(ms_median=2.0, ms_p95=2.5, peak_mib=60.0)
    export_page.write(page, Exports(exports={"joint_int8": export}), {"joint_int8": price})
    return page


def test_the_page_of_exports_is_sound(exports: Path) -> None:
    for seen in look_at(exports, WIDTHS):
        assert_sound(seen)
        assert len(seen.pictures) == 1
        assert seen.text.startswith("← Report")


def test_no_page_runs_what_got_into_it(
    docs: Path, exports: Path, tmp_path: Path, drawn: dict[str, str]
) -> None:
    """Were a name not escaped somewhere, the page's own policy would still keep it from running."""
    table, baseline, stem = results.answered(12)
    found = mistakes.find(table, results.CLASSES, baseline, stem)
    pages = {
        "report": report.render(results.make(), drawn),
        "mistakes": mistakes.render(found, 12, "joint", results.footage),
        "docs": docs.read_text(),
        "exports": exports.read_text(),
    }
    for name, content in pages.items():
        page = tmp_path / f"{name}.html"
        page.write_text(content.replace("<body>", f"<body><p>NOT {EVIL}</p>", 1))
    looked = look_at_all([tmp_path / f"{name}.html" for name in pages], WIDTHS[:1])
    for name, seen in zip(pages, looked, strict=True):
        assert "NOT" in seen.text
        assert "OBEYED" not in seen.text, name
        assert any("Content Security Policy" in error for error in seen.errors), name


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    return report.draw(results.make())


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, drawn: dict[str, str]) -> list[Seen]:
    page = tmp_path_factory.mktemp("report") / "index.html"
    page.write_text(report.render(results.make(), drawn), encoding="utf-8")
    return look_at(page, WIDTHS)


def test_the_page_is_sound_in_wide_and_narrow_windows(seen: list[Seen]) -> None:
    assert [one.width for one in seen] == WIDTHS
    for one in seen:
        assert_sound(one)


def test_every_figure_is_there(seen: list[Seen], drawn: dict[str, str]) -> None:
    examples = sum(len(example.pictures) for example in results.make().examples)
    expected = len(drawn) + examples
    assert [len(one.pictures) for one in seen] == [expected, expected]


def test_names_are_shown_and_not_obeyed(seen: list[Seen]) -> None:
    assert all(results.EVIL in one.text for one in seen)


def test_any_classes_and_models_fit_with_and_without_prices(
    tmp_path: Path, drawn: dict[str, str]
) -> None:
    without = dataclasses.replace(results.make(), candidates=None, milliseconds={}, warnings=[])
    odd = {
        "two": results.large(2, 2, 32, SIXTY),
        "twenty": results.large(20, 12, 32, SIXTY),
        "unpriced": without,
    }
    for name, found in odd.items():
        # Figures of other results, as drawing is slow.
        page = report.render(dataclasses.replace(found, kernels={}), drawn)
        (tmp_path / f"{name}.html").write_text(page, encoding="utf-8")
    looked = look_at_all([tmp_path / f"{name}.html" for name in odd], WIDTHS)
    for one in looked:
        assert_sound(one)
    assert [one.text.count(SIXTY) > 0 for one in looked] == [True] * 4 + [False] * 2


def test_the_page_of_mistakes_is_sound(tmp_path: Path) -> None:
    table, baseline, stem = results.answered(12)
    found = mistakes.find(table, results.CLASSES, baseline, stem)
    page = tmp_path / "mistakes.html"
    page.write_text(
        mistakes.render(found, 12, "joint", results.footage), encoding="utf-8", newline=""
    )
    for one in look_at(page, WIDTHS):
        assert_sound(one)
        assert len(one.pictures) == 4 * len(found)
        assert results.EVIL in one.text
        assert results.ODD_CLIPS[0] in one.text


def test_a_page_that_is_not_sound_is_caught(tmp_path: Path) -> None:
    page = tmp_path / "broken.html"
    page.write_text(
        '<!doctype html><link rel="icon" href="data:,"><img src="data:image/png;base64,AAAA" '
        'alt="broken"><div style="width: 600px">wide</div><script>unknown()</script>'
    )
    (seen,) = look_at(page, [400])
    assert seen.pictures == [("broken", 0)]
    assert seen.page_width > seen.width
    assert "unknown is not defined" in seen.errors[0]
